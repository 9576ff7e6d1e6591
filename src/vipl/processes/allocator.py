"""The C library's memory: when a process gives back what it has freed."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4
_GLIBC_MMAP_MAX = 65536  # its default


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees, for what it allocates next.

    glibc gives large blocks back to the system at once. A training step frees and allocates the
    same gigabytes over and over, and the system clears every page of them anew: a sixth of the
    processor time of a small ResNet's step.

    Returns:
        Whether it did: elsewhere than on glibc it does nothing.
    """
    return _set({_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: -1})


def bound_freed_memory() -> bool:
    """Let this process give back large blocks, whatever the one that it was forked from does.

    Left alone, glibc soon takes blocks of up to 32 MiB from its heap. Pictures of many sizes then
    leave it in pieces, and a process that loads data grows to several times what it uses.

    Returns:
        Whether it did: elsewhere than on glibc it does nothing.
    """
    return _set({_M_MMAP_MAX: _GLIBC_MMAP_MAX, _M_MMAP_THRESHOLD: 2**20, _M_TRIM_THRESHOLD: 2**22})


def _set(options: dict[int, int]) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    return all([library.mallopt(option, value) for option, value in options.items()])
