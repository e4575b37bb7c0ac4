"""Measurements against named peers, run side by side on one machine. Nothing in `reslab` imports this."""
