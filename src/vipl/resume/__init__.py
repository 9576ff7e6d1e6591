"""Runs that go on exactly where they were: checkpoints, what they record, and stopping."""
