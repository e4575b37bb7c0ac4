"""Text for terminals and pipes."""
