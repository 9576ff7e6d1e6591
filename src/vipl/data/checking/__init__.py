"""What is checked of a manifest's files: presence, rates, leaks, damaged pictures, bad clips."""
