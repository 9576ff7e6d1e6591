"""`vipl manifest build folder` and `vipl manifest check`, on good and bad files."""

import csv
import subprocess
import sys

import pytest

from tests.fixtures import media
from vipl.cli import main
from vipl.data.manifests.manifest import read_manifest
from vipl.data.manifests.splits import assign_splits
from vipl.data.sources.folder import build_folder


def build(folder, out, *more):
    return main(["manifest", "build", "folder", str(folder), "--out", str(out), *more])


def test_a_folder_of_good_and_bad_files(tmp_path, capsys):
    folder = tmp_path / "videos"
    media.write_video(folder / "deep" / "er" / "good.mp4", media.moving_square(30))
    media.write_video(folder / "UPPER.MP4", media.moving_square(30, seed=1))
    media.write_video(folder / "other.mkv", media.moving_square(30, seed=2))
    media.write_video(folder / "two.mp4", media.moving_square(2))
    media.write_empty(folder / "empty.mp4")
    media.write_garbage(folder / "garbage.mp4")
    media.write_lfs_pointer(folder / "pointer.mp4")
    media.write_truncated(folder / "truncated.mp4")
    media.write_audio_only(folder / "audio.mp4")
    (folder / "notes.txt").write_text("not a video")
    (folder / ".hidden.mp4").write_text("passed over")
    out = tmp_path / "m.parquet"
    assert build(folder, out) == 0
    manifest = read_manifest(out)
    assert sorted({clip.path for clip in manifest}) == [
        "UPPER.MP4", "deep/er/good.mp4", "other.mkv",
    ]  # fmt: skip
    with (tmp_path / "m.unreadable.csv").open() as file:
        unreadable = {row["path"]: row["reason"] for row in csv.DictReader(file)}
    assert sorted(unreadable) == [
        "audio.mp4", "empty.mp4", "garbage.mp4", "pointer.mp4", "truncated.mp4", "two.mp4",
    ]  # fmt: skip
    assert unreadable["two.mp4"] == "2 frames, a clip needs 3"
    shown = " ".join(capsys.readouterr().out.split())
    assert "6 left out" in shown
    assert "3 clips" in shown
    assert main(["manifest", "check", str(out)]) == 0


def test_the_same_folder_gives_the_same_manifest(tmp_path):
    folder = tmp_path / "videos"
    for number in range(5):
        media.write_video(folder / f"{number}.mp4", media.moving_square(12, seed=number))
    assert build(folder, tmp_path / "a.parquet", "--workers", "1") == 0
    assert build(folder, tmp_path / "b.csv", "--workers", "3") == 0
    assert read_manifest(tmp_path / "a.parquet").sha256 == read_manifest(tmp_path / "b.csv").sha256


def test_long_videos_are_cut_and_stay_on_one_side(tmp_path):
    folder = tmp_path / "videos"
    for number in range(6):
        frames = media.moving_square(60, 32, 32, seed=number)
        media.write_video(folder / f"{number}.mp4", frames, fps=10)
    report = build_folder(folder, clip_seconds=2.0, val_fraction=0.4)
    by_video = {}
    for clip in report.clips:
        by_video.setdefault(clip.path, []).append(clip)
    for clips in by_video.values():
        spans = [(clip.start_frame, clip.end_frame) for clip in clips]
        assert spans == [(0, 20), (20, 40), (40, 60)]
        assert len({clip.split for clip in clips}) == 1
    assert {clip.split for clip in report.clips} == {"train", "val"}


def test_a_copy_under_another_name_is_on_the_same_side(tmp_path):
    folder = tmp_path / "videos"
    for number in range(8):
        original = media.write_video(folder / f"{number}.mp4", media.moving_square(12, seed=number))
        (folder / f"copy{number}.mp4").write_bytes(original.read_bytes())
    splits = {clip.path: clip.split for clip in build_folder(folder, val_fraction=0.5).clips}
    assert all(splits[f"{number}.mp4"] == splits[f"copy{number}.mp4"] for number in range(8))
    assert set(splits.values()) == {"train", "val"}


def test_splits_follow_the_hash_and_neither_side_is_empty():
    def name(value):
        return f"{value:016x}"

    low, high = name(1), name(2**64 - 1)
    assert assign_splits({"a": low, "b": high}, 0.1) == {"a": "val", "b": "train"}
    assert assign_splits({"a": name(2**63), "b": high}, 0.1) == {"a": "val", "b": "train"}
    assert assign_splits({"a": low, "b": name(2)}, 0.1) == {"a": "val", "b": "train"}
    assert assign_splits({"a": low}, 0.1) == {"a": "train"}
    assert assign_splits({"a": low, "b": high}, 0.0) == {"a": "train", "b": "train"}


def picture_in(folder):
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "1.jpg").touch()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "there is no folder"),
        (lambda folder: folder.mkdir(), "holds no video"),
        (picture_in, "of folders of pictures: vipl manifest build frames"),
        (lambda folder: media.write_video(folder), "there is no folder"),
        (lambda folder: media.write_garbage(folder / "a.mp4"), "none of 1 videos gives a clip"),
    ],
)
def test_folders_without_a_clip(tmp_path, capsys, make, message):
    folder = tmp_path / "videos.mp4"
    if message == "none of 1 videos gives a clip":
        folder.mkdir()
    make(folder)
    assert build(folder, tmp_path / "m.parquet") == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("vipl: ")
    assert message in error
    assert not (tmp_path / "m.parquet").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--val-fraction", "1.5"], "held-out share is 1.5"),
        (["--clip-seconds", "0"], "clip length is 0.0 s"),
    ],
)
def test_values_that_make_no_sense(tmp_path, capsys, more, message):
    media.write_video(tmp_path / "v" / "a.mp4", media.moving_square(12))
    assert build(tmp_path / "v", tmp_path / "m.parquet", *more) == 2
    assert message in capsys.readouterr().err


def test_a_name_that_is_no_manifest_is_refused(tmp_path, capsys):
    media.write_video(tmp_path / "v" / "a.mp4", media.moving_square(12))
    assert build(tmp_path / "v", tmp_path / "m.xlsx") == 2
    assert "ends in .parquet or .csv" in capsys.readouterr().err


def test_check_finds_what_has_changed(tmp_path, capsys):
    folder = tmp_path / "v"
    for number in range(4):
        media.write_video(folder / f"{number}.mp4", media.moving_square(12, seed=number))
    out = tmp_path / "m.parquet"
    assert build(folder, out) == 0
    (folder / "0.mp4").unlink()
    media.write_video(folder / "1.mp4", media.moving_square(8, seed=1))
    media.write_video(folder / "2.mp4", media.moving_square(12, 64, 64, seed=2))
    capsys.readouterr()
    assert main(["manifest", "check", str(out)]) == 2
    captured = capsys.readouterr()
    assert "3 problems" in captured.err
    shown = " ".join(captured.out.split())
    assert "has 8 frames" in shown
    assert "is 64 x 64" in shown


def test_a_disk_that_cannot_be_written_is_one_sentence(tmp_path):
    media.write_video(tmp_path / "v" / "a.mp4", media.moving_square(12))
    (tmp_path / "file").write_text("a file where a folder should be")
    command = [sys.executable, "-m", "vipl.cli", "manifest", "build", "folder"]
    command += [str(tmp_path / "v"), "--out", str(tmp_path / "file" / "m.parquet")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("vipl: ")
