"""A trained network on its own: read, given images, scored."""
