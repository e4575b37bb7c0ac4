"""The package's interface in Python, a file for each group of verbs."""
