"""Drawings of networks, in SVG."""
