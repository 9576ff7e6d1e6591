"""Batches: sampling, augmentation, loading processes, the data module."""
