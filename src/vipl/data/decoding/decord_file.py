"""Frames by decord, of the files of which it gives those that PyAV gives.

This is the only module that knows decord, whose last release, 0.6.0, carries an FFmpeg of 2018. It
is handed no file that our own reader has not recognised as one of a few kinds. No torch here.
"""

import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vipl.data.decoding import containers
from vipl.data.decoding.containers import Header, VideoError
from vipl.data.decoding.display.properties import UPRIGHT
from vipl.data.decoding.pictures import scaled

# By how FFmpeg's names of them begin.
_CONTAINERS = ("mov", "matroska", "avi")
# Where decord's FFmpeg turns pictures; it hears no mirror image.
_TURNING_CONTAINERS = ("mov",)
# Eight bits a colour. Of others (ten bits in 4:2:0, 4:4:0, alpha, palettes, RGB of ten bits) the
# two give other colours, by up to 92 of 255 levels.
_4_2_0 = ("yuv420p", "yuvj420p")
_4_2_2 = ("yuv422p", "yuvj422p")
_PIXELS = frozenset({"gray", "gbrp", *_4_2_0, *_4_2_2, "yuv444p", "yuvj444p"})


@functools.cache
def has_decord() -> bool:
    """Whether decord is installed; it has no build for arm64 Linux or recent macOS."""
    return importlib.util.find_spec("decord") is not None


def unfit(head: Header, *, resized: bool = True) -> str:
    """Say why decord is not given a file, by its header; "" where nothing speaks against it.

    Args:
        head: As our own reader has it.
        resized: Whether frames are to be read at another size than their own, too.
    """
    display = head.display
    turned = display.orientation != UPRIGHT
    if not head.format.startswith(_CONTAINERS):
        return f"decord is not given this container ({head.format})"
    if turned and (display.within or not head.format.startswith(_TURNING_CONTAINERS)):
        return "decord does not turn its pictures"
    if display.mirrored and resized:
        return "decord resizes mirrored pictures otherwise"
    if display.aspect != 1:
        return "decord resizes pixels that are not square otherwise"
    if display.pixels not in _PIXELS or (turned and display.pixels in _4_2_2):
        return f"decord gives other colours of {display.pixels}"
    if display.odd_rows and display.pixels in _4_2_0:
        return f"decord gives other colours of {display.pixels} with an odd height"
    return ""


class DecordFile:
    """One video opened with decord, whose many exceptions become `VideoError`.

    Args:
        path: The video file.
        short_side: As for `vipl.data.decoding.video.VideoReader`.

    Raises:
        VideoError: The file is no video, or none for decord.
    """

    def __init__(self, path: Path, short_side: int | None) -> None:
        head = containers.header(path)  # what is wrong with the file, before decord sees it
        if reason := unfit(head, resized=short_side is not None):
            raise VideoError(f"{path}: {reason}: use the backend 'pyav'.")
        import decord  # noqa: TID251

        # Asked for an unchanged size, decord resamples nothing; that is also its fast path.
        whole = short_side is None
        size = (-1, -1) if whole else scaled(head.width, head.height, short_side)
        if size[0] > 0 and -(-size[0] // 32) * 32 * 3 // size[0] != 3:
            # It takes the padding of its rows to 32 pixels for a fourth channel.
            raise VideoError(f"{path}: decord cannot resize to a width of {size[0]} pixels.")
        decord.logging.set_level(decord.logging.QUIET)
        self._path = path
        self._flipped: int | None = None
        if head.display.mirrored:
            # decord turns by where the picture's first axis goes: the other is to be flipped.
            self._flipped = 1 if head.display.orientation[0] else 2
        try:
            self._reader: Any = decord.VideoReader(
                str(path),
                ctx=decord.cpu(0),
                width=size[0],
                height=size[1],
                num_threads=1,
                fault_tol=1,  # else decord repeats a neighbour where a frame is damaged
            )
        except Exception as error:  # RuntimeError, DECORDError, AssertionError ...
            raise VideoError(f"{path}: decord cannot open it: use the backend 'pyav'.") from error
        self.num_frames: int = len(self._reader)

    def close(self) -> None:
        """Let go of the file."""
        self._reader = None

    def counts_discarded_frames(self) -> bool:
        """Whether frames start before time zero: the container discards them, decord does not."""
        starts = self._reader.get_frame_timestamp(range(self.num_frames))[:, 0]
        return bool((starts < -1e-6).any())

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """Return uint8 [N, H, W, 3] of ascending frame numbers."""
        try:
            batch: NDArray[np.uint8] = self._reader.get_batch(list(indices)).asnumpy()
        except Exception as error:
            raise VideoError(
                f"{self._path}: decord cannot decode the frames {list(indices)}."
            ) from error
        if self._flipped is not None:
            return np.ascontiguousarray(np.flip(batch, self._flipped))
        return batch
