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

from vipl.data import containers
from vipl.data.containers import Header, VideoError
from vipl.data.display import UPRIGHT
from vipl.data.frame_folder import scaled

# By how FFmpeg's names of them begin.
_CONTAINERS = ("mov", "matroska", "avi")
# Where decord's FFmpeg turns pictures; it hears no mirror image.
_TURNING_CONTAINERS = ("mov",)
# Eight bits a colour. Of others (ten bits in 4:2:0, 4:4:0, alpha, palettes, RGB of ten bits) the
# two give other colours, by up to 92 of 255 levels.
_PIXELS = frozenset(
    {
        "gray", "gbrp", "yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuvj422p", "yuvj444p",
    }
)  # fmt: skip


@functools.cache
def has_decord() -> bool:
    """Whether decord is installed; it has no build for arm64 Linux or recent macOS."""
    return importlib.util.find_spec("decord") is not None


def unfit(head: Header) -> str:
    """Say why decord is not given a file, by its header; "" where nothing speaks against it."""
    display = head.display
    if not head.format.startswith(_CONTAINERS):
        return f"decord is not given this container ({head.format})"
    if display.orientation != UPRIGHT and (
        display.within or not head.format.startswith(_TURNING_CONTAINERS)
    ):
        return "decord does not turn its pictures"
    if display.aspect != 1:  # brought to another width alone, 4:2:0 differs by up to 30 levels
        return "decord resizes pixels that are not square otherwise"
    if display.pixels not in _PIXELS:
        return f"decord gives other colours of {display.pixels}"
    if display.pixels in ("yuv420p", "yuvj420p") and display.odd_height:
        return f"decord gives other colours of {display.pixels} with an odd height"
    return ""


class DecordFile:
    """One video opened with decord, whose many exceptions become `VideoError`.

    Args:
        path: The video file.
        short_side: As for `vipl.data.video.VideoReader`.

    Raises:
        VideoError: The file is no video, or none for decord.
    """

    def __init__(self, path: Path, short_side: int | None) -> None:
        head = containers.header(path)  # what is wrong with the file, before decord sees it
        if reason := unfit(head):
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
        self._mirrored = _mirrored_axis(head)
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
        if self._mirrored is not None:
            return np.ascontiguousarray(np.flip(batch, self._mirrored))
        return batch


def _mirrored_axis(head: Header) -> int | None:
    """Return the axis of [N, H, W, 3] along which what decord turned is still to be mirrored.

    decord turns by where the stored picture's first axis goes: what is left of a mirror image is
    to flip the other one.
    """
    a, b, c, d = head.display.orientation
    if a * d - b * c > 0:
        return None
    return 1 if a else 2
