"""Writing videos: H.264 in MP4, made for random access.

Shapes: T frames of H x W pixels.
"""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import IO

import av
import numpy as np
from numpy.typing import NDArray

# Key frames close together and no B-frames: a random frame is a few frames of decoding away.
_X264 = {"crf": "18", "g": "10", "bf": "0", "preset": "veryfast"}


def write_h264(
    file: Path | IO[bytes], frames: Iterable[NDArray[np.uint8]], *, fps_hz: float
) -> None:
    """Encode frames.

    The format halves the resolution of colours, so an odd side loses its last row or column.

    Args:
        file: A path, or a stream that can seek.
        frames: T of uint8 [H, W, 3], T >= 1.
        fps_hz: Frames a second.

    Raises:
        ValueError: If there are no frames.
    """
    target = str(file) if isinstance(file, Path) else file
    with av.open(target, "w", format="mp4") as container:
        rate = Fraction(fps_hz).limit_denominator(1001)
        stream = container.add_stream("libx264", rate=rate, options=_X264)
        stream.pix_fmt = "yuv420p"
        count = 0
        for frame in frames:
            height, width = (side - side % 2 for side in frame.shape[:2])
            if not count:
                stream.height, stream.width = height, width
            even = np.ascontiguousarray(frame[:height, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
            count += 1
        if not count:
            raise ValueError("there are no frames to encode")
        container.mux(stream.encode())
