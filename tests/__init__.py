"""The tests; README.md is their map."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
"""The repository."""

SHARED = ROOT.parent / "shared"
"""A folder beside the repository, with real videos and cases; where it is not, tests that need it
are skipped.
"""
