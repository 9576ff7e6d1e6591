"""`vipl push` and `vipl pull`: encoders and their model cards on a hub."""
