"""Folders of pictures, read as videos are, and what is wrong with some."""

import numpy as np
import pytest
from PIL import Image

from tests.fixtures import media
from tests.fixtures.datasets import write_pictures
from vipl.data.decoding.containers import VideoError
from vipl.data.decoding.frame_folder import frame_numbers, frame_path, is_frame_folder
from vipl.data.decoding.probe import probe
from vipl.data.decoding.video import VideoReader
from vipl.data.processes.isolation import DecoderProcess
from vipl.data.sources.frames.numbered import find_pictures


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a/%06d.jpg", True),
        ("a/%d.PNG", True),
        ("a/frame_%010d.jpeg", True),
        ("a/%06d.mp4", False),
        ("%06d.jpg/a.mp4", False),
        ("a/100%.jpg", False),
        ("a/b.jpg", False),
    ],
)
def test_a_pattern_is_told_from_a_video(path, expected):
    assert is_frame_folder(path) is expected


def test_a_frame_is_the_picture_of_its_number():
    assert frame_path("a/%06d.jpg", 12).as_posix() == "a/000012.jpg"
    assert frame_path("a/%d.png", 12).as_posix() == "a/12.png"
    assert frame_path("a/50%_%02d.png", 123).as_posix() == "a/50%_123.png"


@pytest.mark.parametrize("backend", ["auto", "pyav", "decord"])
def test_pictures_are_read_like_a_video(tmp_path, backend):
    folder = write_pictures(tmp_path / "clip", "%d.png", range(12))
    expected = media.moving_square(12, 48, 48)
    with VideoReader(folder / "%d.png", backend=backend) as reader:
        assert (reader.num_frames, reader.width, reader.height, reader.fps_hz) == (12, 48, 48, 0)
        np.testing.assert_array_equal(reader.read([10, 2, 10]), expected[[10, 2, 10]])
        assert reader.read([]).shape == (0, 48, 48, 3)
    with DecoderProcess() as process:
        frames = process.read(folder / "%d.png", [9, 10], backend=backend)
        np.testing.assert_array_equal(frames, expected[[9, 10]])
        crop = {"size": 16, "seed": None}
        assert process.sample(folder / "%d.png", [0, 1], crop=crop).shape == (2, 3, 16, 16)


def test_a_short_side_is_reached_and_never_exceeded(tmp_path):
    folder = tmp_path / "clip"
    folder.mkdir()
    Image.fromarray(media.moving_square(1, 96, 128)[0]).save(folder / "7.jpg", quality=95)
    with VideoReader(folder / "%d.jpg", short_side=24) as reader:
        small = reader.read([7])[0]
    assert small.shape == (24, 32, 3)
    exact = Image.fromarray(media.moving_square(1, 96, 128)[0]).reduce(4)
    assert np.abs(small.astype(int) - np.asarray(exact)).mean() < 6
    with VideoReader(folder / "%d.jpg", short_side=500) as reader:
        assert reader.read([7]).shape == (1, 96, 128, 3)


def test_grey_and_transparent_pictures_become_rgb(tmp_path):
    folder = tmp_path / "clip"
    folder.mkdir()
    for number, mode in enumerate(("L", "RGBA", "P")):
        Image.new(mode, (8, 8), 1).save(folder / f"{number}.png")
    with VideoReader(folder / "%d.png") as reader:
        assert reader.read([0, 1, 2]).shape == (3, 8, 8, 3)


def spoil_missing(folder):
    (folder / "000002.jpg").unlink()
    return "000002.jpg: the picture does not exist"


def spoil_truncated(folder):
    file = folder / "000002.jpg"
    file.write_bytes(file.read_bytes()[:300])
    return "000002.jpg: not a picture that can be read .*[Tt]runcated"


def spoil_empty(folder):
    (folder / "000002.jpg").write_bytes(b"")
    return "000002.jpg: not a picture that can be read .unknown format"


def spoil_size(folder):
    Image.new("RGB", (20, 10)).save(folder / "000002.jpg")
    return "000002.jpg: is 20 x 10, 000001.jpg is 48 x 48"


def spoil_folder(folder):
    folder.rename(folder.with_name("gone"))
    return "the folder does not exist"


@pytest.mark.parametrize(
    "spoil", [spoil_missing, spoil_truncated, spoil_empty, spoil_size, spoil_folder]
)
def test_what_is_wrong_is_said_as_of_a_video(tmp_path, spoil):
    folder = write_pictures(tmp_path / "clip", "%06d.jpg", range(1, 5))
    message = spoil(folder)
    with DecoderProcess() as process, pytest.raises(VideoError, match=message):
        process.read(folder / "%06d.jpg", [1, 2])


def test_a_probe_counts_up_to_the_last_number(tmp_path):
    folder = write_pictures(tmp_path / "clip", "%06d.jpg", range(1, 5))
    (folder / "notes.txt").write_text("")
    (folder / "7.jpg").write_text("of another pattern")
    info = probe(folder / "%06d.jpg")
    assert (info.num_frames, info.width, info.height, info.decoder) == (5, 48, 48, "any")
    assert frame_numbers(folder / "%06d.jpg") == [1, 2, 3, 4]
    with pytest.raises(VideoError, match="holds no such picture"):
        probe(folder / "%06d.png")


@pytest.mark.parametrize(
    ("pattern", "numbers", "found"),
    [
        ("%06d.jpg", range(4), ("%06d.jpg", 0, 1, 4)),
        ("%06d.jpg", range(1, 5), ("%06d.jpg", 1, 1, 4)),
        ("%d.png", range(12), ("%d.png", 0, 1, 12)),  # 10 comes after 9
        ("frame_%010d.jpg", range(1, 4), ("frame_%010d.jpg", 1, 1, 3)),
        ("cam2_%d.png", range(5, 30, 5), ("cam2_%d.png", 5, 5, 5)),
        ("%02d.png", range(97, 103), ("%d.png", 97, 1, 6)),  # no zero shows
    ],
)
def test_numbers_are_put_in_order(tmp_path, pattern, numbers, found):
    folder = write_pictures(tmp_path, pattern, numbers)
    (folder / "goal.png").write_text("without a number")
    assert find_pictures(folder) == (*found, 48, 48)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["0.png", "1.png"], "2 frames, a clip needs 3"),
        (["0.png", "1.png", "3.png", "4.png"], "2.png: the picture does not exist"),
        (["rgb_0.png", "rgb_1.png", "depth_0.png"], r"several names: depth_\*.png, rgb_\*.png"),
        (["0.png", "01.png", "02.png"], "with and without zeros"),
        (["a.png", "b.png", "c.png"], "its pictures are without numbers"),
    ],
)
def test_folders_that_are_no_sequence(tmp_path, files, message):
    for name in files:
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    with pytest.raises(VideoError, match=message):
        find_pictures(tmp_path)
