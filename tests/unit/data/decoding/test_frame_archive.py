"""Packed JPEGs: frames come back in any order, and damage is said."""

import numpy as np
import pyarrow as pa
import pytest

from tests.fixtures import media
from vipl.data.decoding.frame_archive import write_archive
from vipl.data.decoding.probe import probe
from vipl.data.decoding.video import VideoError, VideoReader


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "clip.arrow"
    write_archive(path, media.moving_square(150, 48, 63), fps_hz=12.5, quality=95)
    return path


def test_frames_come_back_in_any_order(archive):
    written = media.moving_square(150, 48, 63)
    wanted = [149, 0, 64, 63, 0]
    with VideoReader(archive) as reader:
        assert (reader.num_frames, reader.width, reader.height) == (150, 63, 48)
        assert reader.fps_hz == 12.5
        frames = reader.read(wanted)
    difference = np.abs(frames.astype(int) - written[wanted]).mean(axis=(1, 2, 3))
    assert difference.max() < 4
    assert np.abs(written[0].astype(int) - written[63]).mean() > 8


def test_frames_are_reduced_while_they_are_decoded(archive):
    with VideoReader(archive, short_side=24) as reader:
        assert reader.read([3]).shape == (1, 24, 32, 3)


def test_what_it_holds_is_found_out(archive):
    info = probe(archive)
    assert (info.num_frames, info.width, info.height, info.decoder) == (150, 63, 48, "any")


def test_a_frame_past_the_end(archive):
    with (
        pytest.raises(VideoError, match=r"frame 150 does not exist: the video has 150 frames"),
        VideoReader(archive) as reader,
    ):
        reader.read([0, 150])


def test_a_file_that_was_cut_short(archive):
    archive.write_bytes(archive.read_bytes()[:2000])
    with (
        pytest.raises(VideoError, match=r"clip\.arrow: not packed frames that can be read"),
        VideoReader(archive) as reader,
    ):
        reader.read([0])


def test_another_arrow_file(tmp_path):
    table = pa.table({"a": [1, 2, 3]})
    with pa.ipc.new_file(str(tmp_path / "a.arrow"), table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(VideoError, match="not packed frames"):
        probe(tmp_path / "a.arrow")


def test_a_damaged_frame(tmp_path):
    schema = pa.schema([("jpeg", pa.binary())], {"width": "8", "height": "8", "fps_hz": "10"})
    with pa.ipc.new_file(str(tmp_path / "a.arrow"), schema) as writer:
        writer.write_table(pa.table([[b"no picture"]], schema=schema))
    with pytest.raises(VideoError, match=r"a\.arrow: frame 0 is damaged"):
        probe(tmp_path / "a.arrow")


@pytest.mark.parametrize(
    ("facts", "column", "reason"),
    [
        ({"width": "nan"}, [b""], "its size or rate is no number above 0"),
        ({"fps_hz": "inf"}, [b""], "its size or rate is no number above 0"),
        ({"height": "-8"}, [b""], "its size or rate is no number above 0"),
        ({}, [7], "its column jpeg holds no bytes"),
    ],
)
def test_files_that_say_nonsense(tmp_path, facts, column, reason):
    said = {"width": "8", "height": "8", "fps_hz": "10"} | facts
    kind = pa.binary() if isinstance(column[0], bytes) else pa.int64()
    schema = pa.schema([("jpeg", kind)], said)
    with pa.ipc.new_file(str(tmp_path / "a.arrow"), schema) as writer:
        writer.write_table(pa.table([column], schema=schema))
    with pytest.raises(VideoError, match=f"not packed frames that can be read .{reason}"):
        probe(tmp_path / "a.arrow")


def test_nothing_to_pack(tmp_path):
    with pytest.raises(ValueError, match="no frames to pack"):
        write_archive(tmp_path / "a.arrow", [], fps_hz=10, quality=90)
