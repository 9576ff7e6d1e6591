"""A decoder of our own in place of the real one: it sleeps or exits where a file is named so.

What it stands for was seen with decord 0.6.0: asked for several frames of a video whose edit list
discards some, it loops for ever, and neither returns nor lets Python handle a signal.
"""

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vipl.data.decoding.video import VideoReader
from vipl.data.processes import child, isolation

ROOT = Path(__file__).parents[1]
CHILD = isolation._CHILD.replace(
    "from vipl.data.processes.child import serve",
    f"sys.path.append({str(ROOT)!r})\nfrom tests.decoder_stand_in import serve",
)
"""What a decoding process runs, to be set in place of `isolation._CHILD`."""

assert CHILD != isolation._CHILD


class StandIn(VideoReader):
    """Reads what is named neither "hanging" nor "crashing"."""

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """Return frames; or never, and keep hold of Python's lock."""
        if self._path.stem.startswith("hanging"):
            ctypes.PyDLL(None).sleep(3600)
        if self._path.stem.startswith("crashing"):
            os._exit(3)
        return super().read(indices)


def serve(descriptor: int) -> None:
    """Answer calls as a decoding process does, by the stand-in."""
    child.VideoReader = StandIn  # type: ignore[misc]
    child.serve(descriptor)
