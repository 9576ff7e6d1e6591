"""What a suite builds upon, and the registry of suites."""
