"""`vipl bench`: timing of the training step and of the data."""
