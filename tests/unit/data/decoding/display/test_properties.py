"""Pictures as a player shows them: turned, mirrored, with square pixels."""

import itertools
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext

from tests.fixtures import media
from vipl.data.decoding.containers import header
from vipl.data.decoding.display.properties import TURNS, display_of
from vipl.data.decoding.probe import glance, probe
from vipl.data.decoding.video import Backend, VideoReader, has_decord

needs_decord = pytest.mark.skipif(not has_decord(), reason="decord is not installed")
BACKENDS = [pytest.param("decord", marks=needs_decord), "pyav"]
EIGHT = [
    matrix
    for matrix in itertools.product((-1, 0, 1), repeat=4)
    if abs(matrix[0] * matrix[3] - matrix[1] * matrix[2]) == 1 and sum(map(abs, matrix)) == 2
]
FRAMES = media.moving_square(3, 96, 128)


def read(path: Path, backend: Backend = "auto", **options: Any) -> np.ndarray:
    with VideoReader(path, backend=backend, **options) as reader:
        images = reader.read([1])
        assert images.shape[1:3] == (reader.height, reader.width)
        return images[0]


def difference(left: np.ndarray, right: np.ndarray) -> float:
    assert left.shape == right.shape
    return float(np.abs(left.astype(int) - right.astype(int)).mean())


@pytest.fixture(scope="module")
def upright(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return media.write_video(tmp_path_factory.mktemp("upright") / "plain.mp4", FRAMES)


def test_there_are_eight() -> None:
    assert sorted(TURNS) == sorted(EIGHT)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("suffix", ["mp4", "mov"])
@pytest.mark.parametrize("matrix", EIGHT)
def test_turned_and_mirrored(
    matrix: tuple[int, ...], suffix: str, backend: Backend, upright: Path, tmp_path: Path
) -> None:
    path = media.write_video(tmp_path / f"a.{suffix}", FRAMES, matrix=matrix)
    expected = media.shown(read(upright), matrix)
    np.testing.assert_array_equal(read(path, backend), expected)
    mirrored = matrix[0] * matrix[3] - matrix[1] * matrix[2] < 0
    reduced = read(path, "auto" if mirrored else backend, short_side=80)
    # Colours lie between pixels of 4:2:0, and are resized otherwise where axes change places.
    assert difference(reduced, media.shown(read(upright, short_side=80), matrix)) < 4
    np.testing.assert_array_equal(reduced, read(path, "pyav", short_side=80))
    info = glance(path)
    decoder = "pyav" if mirrored else "any"
    assert (info.height, info.width, info.decoder) == (*expected.shape[:2], decoder)
    assert info.remark == ""
    if has_decord():
        assert probe(path).decoder == decoder


@pytest.mark.parametrize("matrix", EIGHT)
def test_matroska_turns_too_and_decord_does_not_hear_it(
    matrix: tuple[int, ...], upright: Path, tmp_path: Path
) -> None:
    path = media.write_video(tmp_path / "a.mkv", FRAMES, matrix=matrix)
    np.testing.assert_array_equal(read(path), media.shown(read(upright), matrix))
    if matrix != (1, 0, 0, 1):
        assert (probe(path).decoder, glance(path).decoder) == ("pyav", "pyav")


def test_the_stream_itself_may_turn(tmp_path: Path, upright: Path) -> None:
    path = tmp_path / "a.mp4"
    turn = "h264_metadata=display_orientation=insert:rotate=90:flip=horizontal"
    with av.open(str(upright)) as old, av.open(str(path), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        change = BitStreamFilterContext(turn, stream)
        for packet in old.demux(stream):
            for changed in change.filter(packet if packet.size else None):
                changed.stream = copy
                new.mux(changed)
    with av.open(str(path)) as container:
        data = next(container.decode(video=0)).side_data["DISPLAYMATRIX"]
        a, b, _, c, d = (np.frombuffer(bytes(data), np.int32)[:5] / 65536).tolist()
    np.testing.assert_array_equal(read(path), media.shown(read(upright), (a, b, c, d)))
    assert glance(path).note == "decord does not turn its pictures"


@pytest.mark.parametrize(
    ("matrix", "like", "size", "remark"),
    [
        ((1, 0.3, 0, 1), (1, 0, 0, 1), (128, 96), "(1, 0.3, 0, 1) is no turn by 90°"),
        ((0.8, 0.6, -0.6, 0.8), (1, 0, 0, 1), (128, 96), "left as stored"),
        ((1, 0, 1, 0), (1, 0, 0, 1), (128, 96), "left as stored"),
        ((2, 0, 0, 2), (1, 0, 0, 1), (128, 96), "scales by 2: left at the stored size"),
        ((0, -0.5, 0.5, 0), (0, -1, 1, 0), (96, 128), "scales by 0.5"),
        ((2, 0, 0, 1), (1, 0, 0, 1), (256, 96), "pixels of 2:1"),
        ((0, 2, -1, 0), (0, 1, -1, 0), (96, 256), "pixels of 2:1"),
        ((0.9999, 0.01, -0.01, 0.9999), (1, 0, 0, 1), (128, 96), ""),
    ],
)
def test_other_matrices_are_named(
    matrix: tuple[float, ...],
    like: tuple[int, ...],
    size: tuple[int, int],
    remark: str,
    upright: Path,
    tmp_path: Path,
) -> None:
    path = media.write_video(tmp_path / "a.mp4", FRAMES, matrix=matrix)
    info = glance(path)
    assert (info.width, info.height) == size
    assert remark in info.remark
    assert bool(remark) == bool(info.remark)
    image = read(path)
    if sorted(size) == [96, 128]:
        np.testing.assert_array_equal(image, media.shown(read(upright), like))


def test_a_perspective_is_left_as_stored() -> None:
    values = np.array([65536, 0, 500, 0, 65536, 0, 0, 0, 1 << 30], np.int32)
    frame, stream = a_frame(values), a_stream()
    display = display_of(stream, frame)
    assert display.orientation == (1, 0, 0, 1)
    assert "left as stored" in display.remarks[0]


def test_data_that_pyav_does_not_know_hides_no_turn() -> None:
    class Unknown:
        def get(self, key: object) -> Any:
            raise ValueError("31 is not a valid Type")

    frame = a_frame(np.zeros(9, np.int32))
    frame.side_data, frame.rotation = Unknown(), 90
    assert display_of(a_stream(), frame).orientation == (0, -1, 1, 0)


def a_frame(matrix: np.ndarray) -> Any:
    from av.sidedata.sidedata import Type

    pixels = SimpleNamespace(name="yuv420p", components=[])
    return SimpleNamespace(
        side_data={Type.DISPLAYMATRIX: matrix.tobytes()},
        interlaced_frame=False,
        format=pixels,
        height=48,
        width=64,
    )


def a_stream() -> Any:
    colours = SimpleNamespace(color_trc=1, color_primaries=1)
    return SimpleNamespace(codec_context=colours, sample_aspect_ratio=None)


# --- pixels that are not square ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "aspect", "width"),
    [
        ("mp4", "16/11", 186), ("mp4", "8/9", 114), ("mp4", "1/2", 64), ("mov", "4/3", 171),
        ("mkv", "5/4", 160), ("avi", "13/16", 104), ("ts", "16/11", 186),
    ],
)  # fmt: skip
def test_pixels_become_square(suffix: str, aspect: str, width: int, tmp_path: Path) -> None:
    path = media.write_video(tmp_path / f"a.{suffix}", FRAMES, aspect=Fraction(aspect))
    assert read(path).shape == (96, width, 3)
    info = probe(path)
    assert (info.width, info.height, info.decoder) == (width, 96, "pyav")
    assert info.remark == f"pixels of {aspect.replace('/', ':')}: brought to square ones"
    side = 24
    assert min(read(path, short_side=side).shape[:2]) == side


def test_half_a_pixel_is_rounded_up(tmp_path: Path) -> None:
    frames = media.moving_square(2, 48, 66)
    path = media.write_video(tmp_path / "a.mp4", frames, aspect=Fraction(3, 4))  # 49.5
    assert read(path).shape == (48, 50, 3)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("aspect", ["101/100", "99/100", "1"])
def test_pixels_that_are_nearly_square_are_left(
    aspect: str, backend: Backend, upright: Path, tmp_path: Path
) -> None:
    path = media.write_video(tmp_path / "a.mp4", FRAMES, aspect=Fraction(aspect))
    np.testing.assert_array_equal(read(path, backend), read(upright))
    assert glance(path).remark == ""


def test_an_aspect_that_no_camera_makes_is_left(tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "a.mp4", FRAMES, aspect=Fraction(50))
    assert read(path).shape == (96, 128, 3)
    assert glance(path).remark == "pixels of 50:1, which no camera makes: left as stored"


def test_the_container_is_believed_before_the_stream(tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "both.mp4", FRAMES, aspect=Fraction(16, 11))
    written = path.read_bytes()
    both = b"pasp" + (16).to_bytes(4, "big") + (11).to_bytes(4, "big")
    other = b"pasp" + (5).to_bytes(4, "big") + (4).to_bytes(4, "big")
    assert both in written
    path.write_bytes(written.replace(both, other))
    assert header(path).width == 160
    path.write_bytes(written.replace(b"pasp", b"free"))  # the stream alone
    assert header(path).width == 186


def test_matroska_names_the_width_to_show(tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "a.mkv", FRAMES)
    unit = bytes([0x54, 0xB2, 0x81, 4])  # DisplayUnit: unknown
    width = bytes([0x54, 0xB0, 0x81, 192])  # DisplayWidth
    assert path.read_bytes().count(unit) == 1
    path.write_bytes(path.read_bytes().replace(unit, width))
    assert read(path).shape == (96, 192, 3)
    assert glance(path).remark == "pixels of 3:2: brought to square ones"


@pytest.mark.parametrize("matrix", EIGHT)
def test_turned_pixels_are_stretched_along_the_stored_width(
    matrix: tuple[int, ...], tmp_path: Path
) -> None:
    wide = {"aspect": Fraction(3, 2)}
    path = media.write_video(tmp_path / "a.mp4", FRAMES, matrix=matrix, **wide)
    plain = media.write_video(tmp_path / "plain.mp4", FRAMES, **wide)
    expected = media.shown(read(plain), matrix)
    assert sorted(expected.shape[:2]) == [96, 192]
    assert difference(read(path), expected) < 4
