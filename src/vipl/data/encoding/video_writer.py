"""Writing videos: H.264 in MP4, made for random access.

Shapes: T frames of H x W pixels.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import IO

import av
import numpy as np
from numpy.typing import NDArray

_TICK_S = Fraction(1, 90_000)  # of frames that are not evenly spaced


def write_h264(
    file: Path | IO[bytes],
    frames: Iterable[NDArray[np.uint8]],
    *,
    fps_hz: float,
    key_every: int = 10,
    crf: int = 18,
    tune: str | None = None,
    times_s: Sequence[float] = (),
) -> None:
    """Encode frames; the same frames give the same bytes.

    The format halves the resolution of colours, so an odd side loses its last row or column.

    Args:
        file: A path, or a stream that can seek.
        frames: T of uint8 [H, W, 3], T >= 1.
        fps_hz: Frames a second; a mean where they are not evenly spaced.
        key_every: Frames from one key frame to the next: close together and without B-frames, a
            random frame is a few frames of decoding away.
        crf: x264's constant rate factor: 0 without loss, 51 worst.
        tune: x264's tuning, as "fastdecode".
        times_s: When each frame is shown, where they are not evenly spaced; the first at 0.

    Raises:
        ValueError: If there are no frames.
    """
    options = {"crf": str(crf), "g": str(key_every), "bf": "0", "preset": "veryfast"}
    # x264's macroblock tree reads memory that it has not written (seen with MALLOC_PERTURB_): its
    # pictures differ from call to call. With key frames this close it would save 2% of the bytes.
    options["x264-params"] = "mbtree=0"
    if tune:
        options["tune"] = tune
    target = str(file) if isinstance(file, Path) else file
    with av.open(target, "w", format="mp4") as container:
        rate = Fraction(fps_hz).limit_denominator(1001)
        stream = container.add_stream("libx264", rate=rate, options=options)
        stream.pix_fmt = "yuv420p"
        # BT.601, limited range: said, since players guess BT.709 where the picture is large.
        stream.codec_context.colorspace, stream.codec_context.color_range = 6, 1
        if times_s:
            stream.codec_context.time_base = _TICK_S
        stream.codec_context.thread_count = 1  # the bytes depend on it, and by default on the cores
        count = 0
        for frame in frames:
            height, width = (side - side % 2 for side in frame.shape[:2])
            if not count:
                stream.height, stream.width = height, width
            even = np.ascontiguousarray(frame[:height, :width])
            picture = av.VideoFrame.from_ndarray(even, format="rgb24")
            if times_s:
                picture.time_base, picture.pts = _TICK_S, round(times_s[count] / _TICK_S)
            container.mux(stream.encode(picture))
            count += 1
        if not count:
            raise ValueError("there are no frames to encode")
        container.mux(stream.encode())
