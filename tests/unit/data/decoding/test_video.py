"""Both decoders, on videos encoded on the spot."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from tests.fixtures import media
from vipl.data.decoding.probe import probe
from vipl.data.decoding.video import VideoError, VideoReader, has_decord
from vipl.errors import UserError

needs_decord = pytest.mark.skipif(not has_decord(), reason="decord is not installed")
BACKENDS = [pytest.param("decord", marks=needs_decord), "pyav"]

# name: how it is written. Every one is read rightly by both backends.
GOOD: dict[str, dict[str, object]] = {
    "plain.mp4": {},
    "bframes.mp4": {"bframes": 2},
    "bframes.mkv": {"bframes": 2, "gop": 30},
    "mpeg4.mp4": {"codec": "mpeg4"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "hevc.mp4": {"codec": "libx265"},
    "odd.mp4": {"frames": media.moving_square(height=97, width=131), "pix_fmt": "yuv444p"},
    "rotated.mp4": {"rotation": 90},
    "rotated_back.mp4": {"rotation": -90, "bframes": 2},
    "upside_down.mp4": {"rotation": 180},
    "vfr.mp4": {"times": [i + i // 5 for i in range(48)], "bframes": 2},
    "two_frames.mp4": {"frames": media.moving_square(2)},
    "one_frame.mp4": {"frames": media.moving_square(1)},
    "fragmented.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}},
}
# name: how it is written, why decord cannot be trusted.
DISTRUSTED: dict[str, tuple[dict[str, object], str]] = {
    "open_gop.mp4": (
        {"bframes": 3, "gop": 24, "options": {"x264-params": "open-gop=1"}},
        "random access is wrong",
    ),
    "intra_refresh.mp4": (
        {"gop": 16, "options": {"x264-params": "intra-refresh=1"}},
        "random access is wrong",
    ),
    "stream.ts": ({"bframes": 2}, "decord"),
    "mpeg4_bframes.avi": ({"codec": "mpeg4", "bframes": 2}, "before time zero"),
    "av1.mkv": ({"codec": "libsvtav1"}, "cannot open"),
    "10bit.mp4": ({"pix_fmt": "yuv420p10le"}, "gives other colours of yuv420p10le"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for name, options in [*GOOD.items(), *((n, o) for n, (o, _) in DISTRUSTED.items())]:
        media.write_video(folder / name, **options)
    source = media.write_video(folder / "long.mp4", media.moving_square(90, 48, 160), gop=50)
    media.cut_without_reencoding(source, folder / "cut.mp4", first=32)
    return folder


def linear(path: Path) -> list[np.ndarray]:
    """Every frame as a player shows it, by the plainest of loops."""
    with av.open(str(path)) as container:
        return [
            np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
            for frame in container.decode(video=0)
        ]


def difference(left: np.ndarray, right: np.ndarray) -> float:
    return float(np.abs(left.astype(int) - right.astype(int)).mean())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", GOOD)
def test_random_access_gives_the_frames_of_a_linear_reading(
    name: str, backend: str, folder: Path
) -> None:
    truth = linear(folder / name)
    indices = np.random.default_rng(0).integers(0, len(truth), 20).tolist()
    with VideoReader(folder / name, backend=backend) as reader:
        assert reader.num_frames == len(truth)
        images = reader.read(indices)
        assert images.shape == (20, reader.height, reader.width, 3)
        assert images.dtype == np.uint8
    for index, image in zip(indices, images, strict=True):
        others = {i: difference(image, truth[i]) for i in range(len(truth))}
        assert min(others, key=others.__getitem__) == index
        assert others[index] < 0.01


@pytest.mark.parametrize("name", [*DISTRUSTED, "cut.mp4"])
def test_pyav_is_exact_where_decord_is_not(name: str, folder: Path) -> None:
    truth = linear(folder / name)
    indices = np.random.default_rng(0).permutation(len(truth))[:40].tolist()
    with VideoReader(folder / name, backend="pyav") as reader:
        assert reader.num_frames == len(truth)
        # Between pixels of 4:2:0 the loop reckons colours of ten bits otherwise.
        tolerance = 5 if name == "10bit.mp4" else 0.01
        for index in indices:
            assert difference(reader.read([index])[0], truth[index]) < tolerance


@needs_decord
@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("short_side", [80, 95])
def test_resized_frames_are_equal_byte_by_byte(name: str, short_side: int, folder: Path) -> None:
    images = []
    for backend in ("decord", "pyav"):
        with VideoReader(folder / name, backend=backend, short_side=short_side) as reader:
            images.append(reader.read(range(reader.num_frames)))
    assert min(images[0].shape[1:3]) == short_side
    np.testing.assert_array_equal(*images)


def test_short_side_keeps_the_aspect_ratio_and_does_not_enlarge(folder: Path) -> None:
    with VideoReader(folder / "plain.mp4", short_side=48) as reader:
        assert (reader.width, reader.height) == (64, 48)
        assert reader.read([3, 0]).shape == (2, 48, 64, 3)
    with VideoReader(folder / "plain.mp4", short_side=500) as reader:
        assert reader.read([0]).shape == (1, 96, 128, 3)
    with pytest.raises(UserError, match="short_side must be at least 1 pixel, not 0"):
        VideoReader(folder / "plain.mp4", short_side=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_rotation_shows_the_picture_upright(backend: str, tmp_path: Path) -> None:
    frames = np.full((2, 64, 160, 3), 128, np.uint8)
    frames[:, :16, :16] = 255  # top left as stored
    for rotation, corner in ((90, (-8, 8)), (-90, (8, -8)), (180, (-8, -8))):
        path = media.write_video(tmp_path / f"{rotation}.mp4", frames, rotation=rotation)
        with VideoReader(path, backend=backend) as reader:
            assert reader.read([1])[0][corner].mean() > 240


@pytest.mark.parametrize("backend", BACKENDS)
def test_repeats_any_order_and_nothing(backend: str, folder: Path) -> None:
    with VideoReader(folder / "bframes.mp4", backend=backend) as reader:
        images = reader.read([7, 3, 7, 40, 0])
        again = reader.read(range(48))
        assert reader.read([]).shape == (0, 96, 128, 3)
    np.testing.assert_array_equal(images, again[[7, 3, 7, 40, 0]])
    assert images.flags.owndata or images.base is not None
    images[:] = 0  # the caller's own


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("index", [-1, 48])
def test_index_out_of_range(index: int, backend: str, folder: Path) -> None:
    with (
        VideoReader(folder / "plain.mp4", backend=backend) as reader,
        pytest.raises(VideoError, match=f"frame {index} does not exist: the video has 48 frames"),
    ):
        reader.read([0, index])


def test_auto_leaves_an_edit_list_to_pyav(folder: Path) -> None:
    truth = linear(folder / "cut.mp4")
    with VideoReader(folder / "cut.mp4") as reader:
        assert reader.num_frames == len(truth) == 58
        assert difference(reader.read([40])[0], truth[40]) < 0.01


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (None, "does not exist"),
        (media.write_empty, r"the file is empty \(0 bytes\)"),
        (media.write_garbage, r"not a readable video \(Invalid data"),
        (media.write_lfs_pointer, "Git-LFS pointer, not the video itself: run `git lfs pull`"),
        (media.write_truncated, r"truncated: an MP4 without its index \(no moov\)"),
        (media.write_audio_only, "the file has no video stream"),
        (Path.mkdir, "not a file"),
    ],
)
@pytest.mark.parametrize("backend", ["auto", *BACKENDS])
def test_unreadable_files_say_why(
    write: Callable[[Path], object] | None, message: str, backend: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.mp4"
    if write is not None:
        write(path)
    expected = f"bad.mp4: .*{message}"
    with pytest.raises(VideoError, match=expected):
        probe(path)
    with pytest.raises(VideoError, match=expected), VideoReader(path, backend=backend) as reader:
        reader.read([0])


def test_truncated_mkv_and_fragments_keep_what_is_there(tmp_path: Path) -> None:
    fragmented = {"movflags": "frag_keyframe+empty_moov"}
    for name, options in (("a.mkv", {}), ("b.mp4", {"container_options": fragmented})):
        path = media.write_truncated(tmp_path / name, **options)
        info = probe(path)
        assert 12 <= info.num_frames < 48
        with VideoReader(path) as reader:
            reader.read([info.num_frames - 1])


@needs_decord
@pytest.mark.parametrize("name", GOOD)
def test_probe_trusts_decord(name: str, folder: Path) -> None:
    info = probe(folder / name)
    assert (info.decoder, info.note) == ("any", "")
    truth = linear(folder / name)
    assert (info.num_frames, info.height, info.width) == (len(truth), *truth[0].shape[:2])
    assert info.fps_hz == pytest.approx(10, rel=0.2)


@needs_decord
@pytest.mark.parametrize("name", [*DISTRUSTED, "cut.mp4"])
def test_probe_distrusts_decord(name: str, folder: Path) -> None:
    info = probe(folder / name)
    assert info.decoder == "pyav"
    assert DISTRUSTED.get(name, ({}, "before time zero"))[1] in info.note
    assert info.num_frames == len(linear(folder / name))


def test_probe_of_a_long_video_does_not_decode_it_all(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = probe(folder / "bframes.mp4")
    monkeypatch.setattr("vipl.data.decoding.probe._SURVEY_PIXELS", 0)
    monkeypatch.setattr("vipl.data.decoding.pyav_file.PyAVFile.survey", None)
    assert probe(folder / "bframes.mp4") == whole


def test_damaged_frame_is_said(tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "damaged.mp4", gop=12)
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
        start, size = packets[30].pos, packets[30].size
    data = bytearray(path.read_bytes())
    data[start : start + size] = bytes([255]) * size
    path.write_bytes(data)
    info = probe(path)
    assert (info.decoder, info.note) == ("pyav", "damaged: 1 of 48 frames cannot be decoded")
    with VideoReader(path, backend="pyav") as reader:
        reader.read([29, 31, 47])
        with pytest.raises(VideoError, match="frame 30 cannot be decoded: the video is damaged"):
            reader.read([30])
