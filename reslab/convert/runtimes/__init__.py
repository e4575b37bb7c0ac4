"""A trained network outside torch: as steps with batch norm folded, and in the formats of other runtimes."""
