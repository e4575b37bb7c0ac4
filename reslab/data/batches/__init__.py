"""Batches: augmentation, workers, loaders."""
