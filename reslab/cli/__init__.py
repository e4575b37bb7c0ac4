"""The command line: a thin skin over `reslab.api`. Imports what it needs when called."""
