"""Task suites and diagnostics that plug into vipl."""
