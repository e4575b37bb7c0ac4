"""What a machine and an installation have, and what training would use of it: `doctor`."""
