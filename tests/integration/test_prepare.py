"""`vipl prepare`: clips in other formats, whole, resumed, in shards, and what cannot be read."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction

import numpy as np
import pytest

from tests.fixtures import media
from vipl.cli import main
from vipl.data.decoding.video import VideoReader
from vipl.data.encoding.formats import FORMATS
from vipl.data.manifests.manifest import Clip, read_manifest, write_manifest

HEIGHT, WIDTH = 96, 130


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Eight clips of five videos: two spans of a video, a stride, a rotated one."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(4):
        frames = media.moving_square(40, HEIGHT, WIDTH, seed=number)
        media.write_video(folder / f"v {number}.mp4", frames, bframes=2)
    media.write_video(folder / "turned.mp4", media.moving_square(20, HEIGHT, WIDTH), rotation=90)
    spans = [("v 0.mp4", 0, 20, 1), ("v 0.mp4", 15, 40, 1), ("v 1.mp4", 3, 40, 4)]
    spans += [
        (f"v {number}.mp4", 10 * part, 10 * part + 9, 1) for number in (2, 3) for part in (0, 3)
    ]
    clips = [
        Clip(f"{path}/{first}: ä", path, first, last, 10.0, WIDTH, HEIGHT, "train", "test", "x",
             stride=stride)
        for path, first, last, stride in spans
    ]  # fmt: skip
    clips.append(Clip("turned", "turned.mp4", 0, 20, 10.0, HEIGHT, WIDTH, "val", "test", ""))
    write_manifest(clips, folder / "m.parquet", recipe={"source": "by hand"})
    return folder / "m.parquet"


def prepare(manifest, out, *more):
    return main(["prepare", "--manifest", str(manifest), "--out", str(out), *map(str, more)])


def files(folder):
    return sorted(path.relative_to(folder) for path in (folder / "clips").rglob("*.*"))


@pytest.mark.parametrize("name", FORMATS)
def test_every_clip_comes_back(manifest, tmp_path, name):
    out = tmp_path / "prepared"
    assert prepare(manifest, out, "--format", name, "--short-side", 80, "--workers", 2) == 0
    old, new = read_manifest(manifest), read_manifest(out / "manifest.parquet")
    assert [clip.clip_id for clip in new] == [clip.clip_id for clip in old]
    assert main(["manifest", "check", str(out / "manifest.parquet")]) == 0
    for before, after in zip(old, new, strict=True):
        assert after.num_frames == before.num_frames
        assert after.fps == before.fps / before.stride
        assert min(after.width, after.height) == 80
        assert (after.split, after.source, after.label) == (
            before.split,
            before.source,
            before.label,
        )
        with (
            VideoReader(old.video_path(before), backend="pyav", short_side=80) as source,
            VideoReader(new.video_path(after)) as result,
        ):
            wanted = before.frame_numbers(range(before.num_frames))
            expected = source.read(wanted)[:, : after.height, : after.width].astype(int)
            frames = result.read(range(after.num_frames))
        assert frames.shape == expected.shape
        # Each is far nearer to its own frame than to the next one.
        own = np.abs(frames - expected).mean(axis=(1, 2, 3))
        next_one = np.abs(frames[:-1] - expected[1:]).mean(axis=(1, 2, 3))
        assert own.max() < 8
        assert (own[:-1] < next_one).all()


def test_two_shards_make_the_whole(manifest, tmp_path, capsys):
    whole, out = tmp_path / "whole", tmp_path / "shards"
    assert prepare(manifest, whole) == 0
    assert prepare(manifest, out, "--shard", "1/2") == 0
    assert "shard 1/2 is done; 1 of 2 are not yet" in capsys.readouterr().out
    assert not (out / "manifest.parquet").exists()
    first = files(out)
    assert 0 < len(first) < 8
    assert prepare(manifest, out, "--shard", "0/2") == 0
    assert files(out) == files(whole)
    assert len(set(files(out)) - set(first)) + len(first) == 8
    both = [read_manifest(folder / "manifest.parquet") for folder in (whole, out)]
    assert both[0].sha256 == both[1].sha256
    contents = [[(folder / file).read_bytes() for file in files(whole)] for folder in (whole, out)]
    assert contents[0] == contents[1]


@pytest.mark.slow
def test_ray_does_the_same(manifest, tmp_path):
    pytest.importorskip("ray")
    assert prepare(manifest, tmp_path / "here") == 0
    command = [sys.executable, "-m", "vipl.cli", "prepare", "--manifest", str(manifest)]
    command += ["--out", str(tmp_path / "ray"), "--launcher", "ray", "--workers", "2"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    both = [read_manifest(tmp_path / name / "manifest.parquet") for name in ("here", "ray")]
    assert both[0].sha256 == both[1].sha256
    assert files(tmp_path / "here") == files(tmp_path / "ray")


def test_bad_clips_are_left_out_and_listed(tmp_path, capsys):
    media.write_video(tmp_path / "good.mp4", media.moving_square(20))
    media.write_garbage(tmp_path / "bad.mp4")
    clips = [
        Clip(path, path, 0, 20, 10.0, 128, 96, "train", "test", "")
        for path in ("good.mp4", "bad.mp4", "gone.mp4")
    ]
    clips.append(Clip("long", "good.mp4", 5, 30, 10.0, 128, 96, "train", "test", ""))
    write_manifest(clips, tmp_path / "m.csv", recipe={})
    out = tmp_path / "out"
    assert prepare(tmp_path / "m.csv", out) == 2
    assert "1 of 3 files are not in" in capsys.readouterr().err
    assert prepare(tmp_path / "m.csv", out, "--allow-missing") == 0
    with (out / "bad_clips.csv").open() as file:
        reasons = {row["clip_id"]: row["reason"] for row in csv.DictReader(file)}
    assert sorted(reasons) == ["bad.mp4", "gone.mp4", "long"]
    assert "not a readable video" in reasons["bad.mp4"]
    assert "does not exist" in reasons["gone.mp4"]
    assert "frame 29 does not exist" in reasons["long"]
    assert [clip.clip_id for clip in read_manifest(out / "manifest.parquet")] == ["good.mp4"]
    assert len(files(out)) == 1


def test_when_no_clip_can_be_read(tmp_path, capsys):
    media.write_garbage(tmp_path / "bad.mp4")
    clip = Clip("a", "bad.mp4", 0, 20, 10.0, 128, 96, "train", "test", "")
    write_manifest([clip], tmp_path / "m.csv", recipe={})
    assert prepare(tmp_path / "m.csv", tmp_path / "out") == 2
    assert "none of the 1 clips could be prepared; the first, a: " in capsys.readouterr().err


def test_what_was_stopped_goes_on(manifest, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "vipl.cli", "prepare", "--manifest", str(manifest)]
    command += ["--out", str(out), "--workers", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (out / "clips").is_dir() or not files(out):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = {path: (out / path).stat().st_mtime_ns for path in files(out)}
    (out / "shards" / "0-of-1" / "half-written.arrow").write_bytes(b"half")
    assert prepare(manifest, out) == 0
    assert len(files(out)) == 8
    assert {path: (out / path).stat().st_mtime_ns for path in done} == done
    assert os.listdir(out / "shards" / "0-of-1") == [".lock"]
    stamps = {path: (out / path).stat().st_mtime_ns for path in files(out)}
    assert prepare(manifest, out) == 0
    assert {path: (out / path).stat().st_mtime_ns for path in files(out)} == stamps


def test_the_originals_are_only_read(manifest, tmp_path):
    before = {path.name: path.read_bytes() for path in manifest.parent.iterdir()}
    assert prepare(manifest, tmp_path / "out") == 0
    assert {path.name: path.read_bytes() for path in manifest.parent.iterdir()} == before


def test_a_folder_of_other_clips_is_refused(manifest, tmp_path, capsys):
    out = tmp_path / "out"
    assert prepare(manifest, out) == 0
    assert prepare(manifest, out, "--format", "h264") == 2
    assert "holds clips prepared with format jpeg, not h264" in capsys.readouterr().err
    assert prepare(manifest, out, "--short-side", 128) == 2
    assert "holds clips prepared with short_side 256, not 128" in capsys.readouterr().err
    assert prepare(manifest, manifest.parent) == 2
    assert "is not empty: name a new folder as --out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--shard", "2/2", "--shard is '2/2', expected i/n with i from 0 to n - 1, as 0/8"),
        ("--shard", "one", "--shard is 'one', expected i/n"),
        ("--short-side", "8", "--short-side is 8, expected 16 pixels or more"),
        ("--workers", "0", "--workers is 0, expected more than 0"),
        ("--timeout", "-1", "--timeout is -1, expected more than 0"),
    ],
)
def test_wrong_options(manifest, tmp_path, capsys, option, value, message):
    assert prepare(manifest, tmp_path / "out", option, value) == 2
    assert message in capsys.readouterr().err


def test_two_at_once(manifest, tmp_path, capsys):
    from vipl.files import locked

    out = tmp_path / "out"
    assert prepare(manifest, out) == 0
    with locked(out / "shards" / "0-of-1", "held"):
        assert prepare(manifest, out) == 2
    assert "another process prepares the shard 0/1" in capsys.readouterr().err


def test_the_recipe_says_where_it_comes_from(manifest, tmp_path):
    assert prepare(manifest, tmp_path / "out") == 0
    recipe = json.loads((tmp_path / "out" / "manifest.json").read_text())["recipe"]
    assert recipe["source"] == "prepare"
    assert recipe["manifest_sha256"] == read_manifest(manifest).sha256
    assert recipe["of"] == {"source": "by hand"}


def test_pictures_are_prepared_as_a_player_shows_them(tmp_path, capsys):
    """Mirrored, turned and stretched once, HLG brought to ordinary range, and not a second time."""
    frames = media.moving_square(20, HEIGHT, WIDTH)
    folder, out = tmp_path / "videos", tmp_path / "prepared"
    media.write_video(folder / "mirrored.mp4", frames, matrix=(-1, 0, 0, 1))
    media.write_video(folder / "both.mp4", frames, matrix=(0, 1, 1, 0), aspect=Fraction(3, 2))
    high = {"color_trc": 18, "color_primaries": 9, "colorspace": 9}
    media.write_video(folder / "high.mov", frames, colours=high, pix_fmt="yuv420p10le")
    built = ["manifest", "build", "folder", str(folder), "--out", str(tmp_path / "m.parquet")]
    assert main([*built, "--val-fraction", "0"]) == 0
    assert main(["manifest", "check", str(tmp_path / "m.parquet")]) == 0
    said = capsys.readouterr().out
    assert said.count("2 with pictures out of the ordinary") == 2
    for words in ("HLG: read as stored", "pixels of 3:2: brought to square ones"):
        assert said.count(words) == 2
    old = {clip.path: clip for clip in read_manifest(tmp_path / "m.parquet")}
    sizes = {path: (clip.width, clip.height, clip.decoder) for path, clip in old.items()}
    assert sizes == {
        "mirrored.mp4": (WIDTH, HEIGHT, "pyav"),
        "both.mp4": (HEIGHT, WIDTH * 3 // 2, "pyav"),
        "high.mov": (WIDTH, HEIGHT, "pyav"),
    }
    assert prepare(tmp_path / "m.parquet", out, "--format", "h264", "--tone-map") == 0
    assert main(["manifest", "check", str(out / "manifest.parquet")]) == 0
    assert "out of the ordinary" not in capsys.readouterr().out
    new = read_manifest(out / "manifest.parquet")
    for before, after in zip(old.values(), new, strict=True):
        with VideoReader(folder / before.path, tone_map=True) as source:
            expected = source.read([4])[0].astype(int)
        with VideoReader(new.video_path(after)) as result:
            assert np.abs(result.read([4])[0] - expected[: after.height, : after.width]).mean() < 8
    assert prepare(tmp_path / "m.parquet", out, "--format", "h264") == 2
    assert "holds clips prepared with tone_map True, not False" in capsys.readouterr().err
