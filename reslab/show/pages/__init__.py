"""HTML pages and picture files."""
