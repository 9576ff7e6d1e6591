"""The C library's memory, for training on a CPU."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees, for what it allocates next.

    glibc gives large blocks back to the system at once. A training step frees and allocates the
    same gigabytes over and over, and the system clears every page of them anew: a sixth of the
    processor time of a small ResNet's step.

    Returns:
        Whether it did: elsewhere than on glibc it does nothing.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    return bool(library.mallopt(_M_MMAP_MAX, 0) and library.mallopt(_M_TRIM_THRESHOLD, -1))
