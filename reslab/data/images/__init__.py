"""One image file: its header, its pixels, or a part of them."""
