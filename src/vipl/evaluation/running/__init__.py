"""Running cells: settings, encoders, workers, launchers, records."""
