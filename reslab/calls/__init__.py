"""What the package's face does: one file for each thing that can be asked of it."""
