"""What a run is: its recipe, its schedule, its name, its record. Torch-free."""
