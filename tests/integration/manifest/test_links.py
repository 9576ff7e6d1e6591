"""Names that are no text, links, and frames that leak from one split into the other."""

import csv
import os
from pathlib import Path

from tests.fixtures import media
from tests.fixtures.datasets import write_pictures, write_table
from tests.fixtures.manifests import build, unreadable, words
from vipl.cli import main
from vipl.data.manifests.manifest import read_manifest


def test_names_that_are_not_utf8_are_left_out_by_name(tmp_path, capsys):
    """Such as old archives leave; and the names that a manifest could not hold."""
    folder = tmp_path / "videos"
    media.write_video(folder / "good.mp4")
    names = [b"caf\xe9.mp4", b"a\\b.mp4"]
    for name in names:
        os.link(media.write_video(folder / "x.mp4", media.moving_square(12)), os.fsencode(folder) +
                b"/" + name)  # fmt: skip
        (folder / "x.mp4").unlink()
    bad = Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9"))
    write_pictures(bad, "%d.png", range(4))
    write_pictures(folder / "frames", "%d.png", range(4))
    write_pictures(folder / "other", os.fsdecode(b"b\xe9_%d.png"), range(4))
    out = tmp_path / "m.csv"
    assert build("folder", folder, out, "--workers", "1") == 0
    assert [clip.path for clip in read_manifest(out)] == ["good.mp4"]
    assert set(unreadable(out)) == {"a\\b.mp4", "caf\\xe9.mp4"}
    assert main(["manifest", "check", str(out), "--workers", "1"]) == 0
    assert build("frames", folder, out) == 0
    assert [clip.path for clip in read_manifest(out)] == ["frames/%d.png"]
    assert set(unreadable(out)) == {"caf\\xe9", "other"}
    assert main(["manifest", "check", str(out), "--workers", "1"]) == 0
    good = bad.parent / "good"
    assert build("frames", bad, good.with_suffix(".csv"), "--val-fraction", "0") == 0
    assert read_manifest(good.with_suffix(".csv")).root == bad  # its own name is in the sidecar
    assert main(["manifest", "check", str(good.with_suffix(".csv"))]) == 0


def test_a_file_counts_once_whatever_leads_to_it(tmp_path, capsys):
    """A link to the parent, to a file, to a folder beside, and a second name (a hard link)."""
    folder = tmp_path / "videos"
    video = media.write_video(folder / "z" / "clip.mp4")
    (folder / "z" / "up").symlink_to("..")
    (folder / "z" / "above").symlink_to(tmp_path)
    (folder / "a").symlink_to("z")
    (folder / "a.mp4").symlink_to(video)
    os.link(video, folder / "z" / "other.mp4")
    out = tmp_path / "m.csv"
    assert build("folder", folder, out, "--workers", "1") == 0
    assert [clip.path for clip in read_manifest(out)] == ["z/clip.mp4"]
    assert "left out: 5 links to files and folders that are counted already" in words(capsys)[0]


def test_a_folder_of_frames_counts_once(tmp_path):
    folder = tmp_path / "frames"
    for number in range(6):
        write_pictures(folder / f"rec_{number}", "%d.png", range(5), seed=number)
        (folder / f"fav_{number}").symlink_to(f"rec_{number}")
    (folder / "copy").mkdir()
    for number in range(5):
        os.link(folder / "rec_0" / f"{number}.png", folder / "copy" / f"{number}.png")
    out = tmp_path / "m.csv"
    assert build("frames", folder, out, "--val-fraction", "0.4") == 0
    paths = {clip.path: clip.split for clip in read_manifest(out)}
    assert sorted(paths) == ["copy/%d.png", *(f"rec_{n}/%d.png" for n in range(1, 6))]
    table = [{"path": f"{name}_{n}/", "len": 5} for n in range(6) for name in ("fav", "rec")]
    assert build("frames", write_table(folder / "t.csv", table), out, "--val-fraction", "0.4") == 0
    clips = list(read_manifest(out))
    assert (len(clips), len({clip.path for clip in clips})) == (12, 6)
    assert len({(clip.path, clip.split) for clip in clips}) == 6


def rewrite(out, change):
    """Change the rows of a manifest as a script of one's own does."""
    with out.open(newline="") as file:
        rows = [change(dict(row)) for row in csv.DictReader(file)]
    write_table(out, [row for row in rows if row])
    out.with_suffix(".json").unlink(missing_ok=True)


def test_check_finds_leaks_by_files_and_by_frames(tmp_path, capsys, tables):
    folder = tmp_path / "frames"
    for name in ("rec", "other"):
        write_pictures(folder / name, "%d.png", range(9), seed=len(name))
    out = folder / "m.csv"
    assert build("frames", folder, out, "--val-fraction", "0") == 0
    (folder / "fav").symlink_to("rec")

    def parts(row):
        if row["path"].startswith("other"):
            return row | {"path": "rec/%d.png", "start_frame": "4", "split": "val"}
        return row | {"end_frame": "6"}

    rewrite(out, parts)
    assert main(["manifest", "check", str(out)]) == 2
    assert tables == [("rec/%d.png", "frames 4 to 5 are in both train and val")]
    rewrite(out, lambda row: row | {"path": row["path"].replace("rec", "fav")}
            if row["split"] == "val" else row)  # fmt: skip
    assert main(["manifest", "check", str(out)]) == 2
    both = "frames 4 to 5 are in both train and val (as rec/%d.png and fav/%d.png)"
    assert tables[1:] == [("fav/%d.png", both)]
    rewrite(out, lambda row: row | {"end_frame": "4"} if row["split"] == "train" else row)
    assert main(["manifest", "check", str(out)]) == 0
    shown = words(capsys)[0]
    assert "1 files have clips in train and others in val, which share no frame" in shown
    assert "every picture of 2 folders decoded, every count and rate right" in shown


def test_check_decodes_the_pictures_that_it_approves(tmp_path, tables):
    folder = tmp_path / "frames"
    write_pictures(folder / "a", "%d.png", range(6))
    out = tmp_path / "m.csv"
    assert build("frames", folder, out) == 0
    good = (folder / "a" / "3.png").read_bytes()
    (folder / "a" / "3.png").write_bytes(good[: len(good) // 2])
    assert main(["manifest", "check", str(out)]) == 2
    assert "3.png: not a picture that can be read" in tables[0][1]
    write_pictures(folder / "b", "%d.png", range(6), size=32)
    (folder / "b" / "3.png").rename(folder / "a" / "3.png")
    assert main(["manifest", "check", str(out)]) == 2
    ((path, reason),) = tables[1:]
    assert path == "a/%d.png"
    assert "3.png: is 32 x 32, the manifest says 48 x 48" in reason
