"""Small test videos, good and bad, encoded on the spot with PyAV."""

import os
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]

NO_REAL_MEDIA = (
    "no folder of real videos: set VIPL_TEST_MEDIA to one with an index.tsv (columns path, "
    "frames_pyav, ...)"
)


def real_media_dir() -> Path:
    """The folder of real videos, which may not exist."""
    beside = Path(__file__).parents[2] / "shared" / "media"
    return Path(os.environ.get("VIPL_TEST_MEDIA", beside))


def moving_square(
    num_frames: int = 48, height: int = 96, width: int = 128, *, seed: int = 0
) -> Frames:
    """A bright square that crosses a textured background once: its place tells the time.

    Returns:
        uint8 [T, H, W, 3].
    """
    rng = np.random.default_rng(seed)
    coarse = rng.integers(30, 140, (height // 8 + 1, width // 8 + 1, 3))
    background = np.kron(coarse, np.ones((8, 8, 1)))[:height, :width].astype(np.uint8)
    frames = np.repeat(background[None], num_frames, axis=0)
    side = max(4, min(height, width) // 4)
    colour = rng.integers(180, 256, 3)
    for i, frame in enumerate(frames):
        part = i / max(1, num_frames - 1)
        top, left = round(part * (height - side)), round(part * (width - side))
        frame[top : top + side, left : left + side] = colour
    return frames


def write_video(
    path: Path,
    frames: Frames | None = None,
    *,
    fps: float = 10,
    codec: str = "libx264",
    gop: int = 12,
    bframes: int = 0,
    pix_fmt: str = "yuv420p",
    rotation: float = 0,
    matrix: Sequence[float] | None = None,
    aspect: Fraction | None = None,
    colours: Mapping[str, int] | None = None,
    times: Iterable[int] | None = None,
    options: Mapping[str, str] | None = None,
    container_options: Mapping[str, str] | None = None,
) -> Path:
    """Encode frames; the suffix of `path` chooses the container.

    Args:
        path: The file to write.
        frames: uint8 [T, H, W, 3], or 4 with alpha; default `moving_square()`.
        fps: Frames per second.
        codec: Encoder.
        gop: Frames between key frames.
        bframes: Bidirectional frames in a row.
        pix_fmt: Pixel format; odd sizes want yuv444p.
        rotation: Degrees counter-clockwise that a player shall turn the picture.
        matrix: a, b, c, d of the track's matrix: where a step to the right goes, and one down.
        aspect: Width of a pixel over its height, noted in the stream and in the container.
        colours: Numbers of ITU-T H.273 by PyAV's names: colorspace, color_trc, ...
        times: Presentation time of each frame in units of 1 / fps, default 0, 1, 2 ...
        options: Of the encoder.
        container_options: Of the muxer.
    """
    frames = moving_square() if frames is None else frames
    rate = Fraction(fps).limit_denominator(1001)
    layout = "rgba" if frames.shape[-1] == 4 else "rgb24"
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=dict(container_options or {})) as container:
        stream: Any = container.add_stream(codec, rate=rate, options=_quality(codec, bframes))
        stream.options = {**stream.options, **(options or {})}
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pix_fmt
        stream.codec_context.gop_size = gop
        stream.codec_context.max_b_frames = bframes
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = 1 / rate
        if rotation:
            stream.set_display_rotation(rotation)
        if matrix is not None:
            a, b, c, d = (round(value * 65536) for value in matrix)
            stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for name, value in (colours or {}).items():
            setattr(stream.codec_context, name, value)
        for time, image in zip(times or range(len(frames)), frames, strict=False):
            frame = av.VideoFrame.from_ndarray(image, format=layout)
            frame.pts, frame.time_base = time, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _quality(codec: str, bframes: int) -> dict[str, str]:
    """Nearly lossless, so that neighbouring frames stay distinct."""
    if codec == "libx264":
        return {"crf": "12", "preset": "veryfast", "bf": str(bframes), "sc_threshold": "0"}
    if codec == "libvpx-vp9":
        return {"crf": "20", "b": "0", "deadline": "realtime", "cpu-used": "8"}
    if codec == "libvpx":
        return {}
    if codec == "libx265":
        return {"x265-params": "log-level=none:crf=14", "preset": "ultrafast"}
    if codec == "libsvtav1":
        return {"preset": "12", "crf": "25", "svtav1-params": "lp=1"}
    return {"qmin": "2", "qmax": "4"}


def shown(image: Frames, matrix: Sequence[float]) -> Frames:
    """Move every pixel of [H, W, 3] by a, b, c, d, each -1, 0 or 1."""
    a, b, c, d = (int(value) for value in matrix)
    down, right = np.mgrid[: image.shape[0], : image.shape[1]]
    x, y = a * right + c * down, b * right + d * down
    result = np.empty((int(np.ptp(y)) + 1, int(np.ptp(x)) + 1, *image.shape[2:]), image.dtype)
    result[y - y.min(), x - x.min()] = image
    return result


def cut_without_reencoding(source: Path, path: Path, *, first: int) -> Path:
    """Copy packets from the key frame before `first`; an edit list hides what precedes `first`.

    This is what `ffmpeg -ss ... -c copy` writes.
    """
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = old.streams.video[0]
        packets = [packet for packet in old.demux(stream) if packet.size]
        time = sorted(packet.pts for packet in packets)[first]
        key = max(i for i, p in enumerate(packets) if p.is_keyframe and p.pts <= time)
        copy = new.add_stream_from_template(stream)
        for packet in packets[key:]:
            packet.pts, packet.dts = packet.pts - time, packet.dts - time
            packet.stream = copy
            new.mux(packet)
    return path


# --- files that cannot be read -------------------------------------------------------------------


def write_empty(path: Path) -> Path:
    """A file of 0 bytes."""
    path.write_bytes(b"")
    return path


def write_garbage(path: Path) -> Path:
    """Text with the suffix of a video."""
    path.write_text("This is not a video. " * 200)
    return path


def write_lfs_pointer(path: Path) -> Path:
    """What git leaves in place of a large file that was not fetched."""
    path.write_text(
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 123456\n"
    )
    return path


def write_truncated(path: Path, *, share: float = 0.5, **options: Any) -> Path:
    """The first part of a video: an MP4 loses its index (moov), a Matroska file only its end."""
    write_video(path, **options)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def write_audio_only(path: Path) -> Path:
    """One second of silence and no picture."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("aac", rate=16000)
        stream.layout = "mono"
        for i in range(16):
            frame = av.AudioFrame.from_ndarray(
                np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
            )
            frame.sample_rate, frame.pts = 16000, 1024 * i
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
