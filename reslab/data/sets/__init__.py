"""Data sets and folders of images, read from disk."""
