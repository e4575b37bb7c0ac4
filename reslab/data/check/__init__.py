"""Examine image files before training: damage, duplicates, sizes, and what is found about them."""
