"""What a network does."""
