"""`vipl prepare`: clips in formats made for random access."""
