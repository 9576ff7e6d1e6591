"""What bounds a run: the training step or the data, measured on the user's own configuration."""
