"""How an update or a forward pass is computed on a machine."""
