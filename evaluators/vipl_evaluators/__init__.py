"""Task suites and diagnostics that plug into vipl."""

import vipl.control  # noqa: F401 - before mujoco: what MUJOCO_GL=osmesa loads must come second
