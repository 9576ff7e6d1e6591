"""The formats that `vipl prepare` brings clips to. `python -m benchmarks.data` compares them."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vipl.data.decoding.frame_archive import ARCHIVE_SUFFIX, write_archive
from vipl.data.encoding.video_writer import write_h264


class Format(NamedTuple):
    """One way to store a clip.

    Attributes:
        suffix: Of its file.
        write: Makes the file: path, frames, fps_hz=…, times_s=….
        even: Whether an odd side loses its last row or column.
        decoder: What the manifest says of its files: "pyav" where PyAV is the faster.
    """

    suffix: str
    write: Callable[..., None]
    even: bool
    decoder: str

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height as the format keeps them."""
        return (width - width % 2, height - height % 2) if self.even else (width, height)

    def encode(
        self,
        path: Path,
        frames: Iterable[NDArray[np.uint8]],
        *,
        fps_hz: float,
        times_s: Sequence[float] = (),
    ) -> None:
        """Store frames, uint8 [H, W, 3] each; with their times where they are not even."""
        self.write(path, frames, fps_hz=fps_hz, times_s=times_s)


def _h264(**options: Any) -> Format:
    return Format(".mp4", partial(write_h264, **options), even=True, decoder="pyav")


FORMATS = {
    "jpeg": Format(ARCHIVE_SUFFIX, partial(write_archive, quality=90), even=False, decoder="any"),
    "h264": _h264(key_every=12, crf=24, tune="fastdecode"),
    "h264_intra": _h264(key_every=1, crf=20, tune="fastdecode"),
}
"""By name: JPEGs packed into one file; H.264 with a key frame every twelve; every frame one."""
