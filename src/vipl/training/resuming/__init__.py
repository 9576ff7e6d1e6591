"""Going on with a run: checkpoint files, what they record, when a run is saved and stopped."""
