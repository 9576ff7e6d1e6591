"""decord and PyAV give the same frames of real videos, or the manifest distrusts decord.

The folder of real videos (see `media_dir` in conftest.py) has an index.tsv with the columns
`path` and `frames_pyav` (a number, or ERR for a file that cannot be read). Every file is decoded
in a process that can be killed.
"""

import contextlib
import csv
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from tests import media

from vipl.data.isolation import DecoderProcess
from vipl.data.video import VideoError, has_decord

# Where decord fails or gives other frames, and why.
DECORD_FAILS = {
    "d_copycut_ss4.4_10s.mp4": "counts frames that the edit list discards, and hangs on some",
    "d_h264_cut_editlist.mp4": "counts frames that the edit list discards",
    "torchcodec_discard_first_keyframe.mp4": "counts frames that the edit list discards",
    "d_h264_intra_refresh.mp4": "random access starts at a frame that is no key frame",
    "d_h264_opengop.mp4": "miscounts after a seek into an open group of pictures",
    "torchcodec_h265_video.mp4": "miscounts after a seek into an open group of pictures",
    "d_mpeg4_bf2.avi": "AVI has no presentation times, B-frames put them before zero",
    "mmaction2_test.avi": "AVI has no presentation times, B-frames put them before zero",
    "d_h264.ts": "cannot seek in MPEG-TS",
    "d_h264_bitflips.mp4": "repeats a neighbour for a frame that is damaged",
    "decord_corrupted.mp4": "repeats a neighbour for a frame that is damaged",
    "d_truncated_faststart.mp4": "refuses a file that ends early",
    "torchcodec_av1_video.mkv": "has no AV1 decoder",
}
# Bytes differ at the native size: chroma of odd sizes and 10 bits is resampled differently.
NOT_EXACT = (
    "torchcodec_h264_10bits.mp4",
    "torchcodec_testsrc2_odd_height_and_width_mpeg2.mp4",
    "torchcodec_testsrc2_odd_height_and_width_vp9.mp4",
)
# The index counts the first of two video streams here; the best one is read.
BEST_STREAM = {"torchcodec_nasa_13013.mp4": 390}


def listed() -> list[dict[str, str]]:
    index = media.real_media_dir() / "index.tsv"
    if not index.is_file():
        return []
    with index.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def names(*, readable: bool) -> list[str]:
    return [row["path"] for row in listed() if (row["frames_pyav"] != "ERR") == readable]


def announced(name: str) -> int:
    row = next(row for row in listed() if row["path"] == name)
    return BEST_STREAM.get(Path(name).name, int(row["frames_pyav"]))


@pytest.fixture(scope="module")
def decoder() -> Iterator[DecoderProcess]:
    with DecoderProcess(timeout_s=30) as decoder:
        yield decoder


def a_few(num_frames: int) -> list[int]:
    """First and last frames, and some in between."""
    drawn = np.random.default_rng(num_frames).integers(0, num_frames, 4)
    return np.unique([0, min(1, num_frames - 1), num_frames - 1, *drawn]).tolist()


def difference(left: np.ndarray, right: np.ndarray) -> float:
    return float(np.abs(left.astype(np.int16) - right.astype(np.int16)).mean())


def test_the_folder_of_real_videos_is_there(media_dir: Path) -> None:
    assert names(readable=True)
    assert names(readable=False)


@pytest.mark.skipif(not has_decord(), reason="decord is not installed")
@pytest.mark.parametrize("name", names(readable=True))
def test_probe_knows_whether_both_decoders_agree(
    name: str, media_dir: Path, decoder: DecoderProcess
) -> None:
    info = decoder.probe(media_dir / name)
    assert info.num_frames == announced(name)
    file = Path(name).name
    if file in DECORD_FAILS:
        assert info.decoder == "pyav", DECORD_FAILS[file]
        assert info.note
        return
    assert (info.decoder, info.note) == ("any", "")
    indices = a_few(info.num_frames)
    for short_side, tolerance in ((80, 0.0), (None, 5.0 if file in NOT_EXACT else 0.0)):
        images = [
            decoder.read(media_dir / name, indices, backend=backend, short_side=short_side)
            for backend in ("decord", "pyav")
        ]
        assert images[0].shape == images[1].shape
        if short_side is None:
            assert images[0].shape[1:3] == (info.height, info.width)
        for left, right in zip(*images, strict=True):
            assert difference(left, right) <= tolerance


@pytest.mark.parametrize("name", names(readable=True))
def test_random_access_of_pyav_is_a_linear_reading(
    name: str, media_dir: Path, decoder: DecoderProcess
) -> None:
    count = min(announced(name), 300)
    truth = linear(media_dir / name, a_few(count))
    tolerance = 5.0 if Path(name).name in NOT_EXACT else 0.0
    for index in sorted(truth, reverse=True):
        image = decoder.read(media_dir / name, [index], backend="pyav")[0]
        assert difference(image, truth[index]) <= tolerance


def linear(path: Path, indices: list[int]) -> dict[int, np.ndarray]:
    """Some frames of the best stream, by the plainest of loops."""
    images: dict[int, np.ndarray] = {}
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        stream.codec_context.thread_count = 1  # damage is concealed differently by several
        number = 0
        for packet in container.demux(stream):
            with contextlib.suppress(av.FFmpegError):
                for frame in packet.decode():
                    if number in indices:
                        image = frame.to_ndarray(format="rgb24")
                        images[number] = np.rot90(image, round(frame.rotation / 90))
                    number += 1
    assert list(images) == indices
    return images


@pytest.mark.parametrize("name", names(readable=False))
def test_unreadable_files_say_why(name: str, media_dir: Path, decoder: DecoderProcess) -> None:
    causes = {
        "d_audio_only.mp4": "the file has no video stream",
        "d_empty.mp4": "the file is empty (0 bytes)",
        "d_garbage.mp4": "not a readable video (Invalid data found when processing input)",
        "d_truncated_nomoov.mp4": "the file is truncated: an MP4 without its index (no moov)",
        "lerobot_lfs_pointer_clip_h264.mp4": (
            "a Git-LFS pointer, not the video itself: run `git lfs pull`"
        ),
    }
    path = media_dir / name
    for call in (decoder.probe, lambda path: decoder.read(path, [0])):
        with pytest.raises(VideoError) as caught:
            call(path)
        assert str(caught.value) == f"{path}: {causes[Path(name).name]}."
