"""`vipl manifest build epic_kitchens`: videos by their times, frames by their numbers."""

import pytest

from tests.fixtures.datasets import write_clip, write_pictures, write_table
from vipl.cli import main
from vipl.data.manifests.manifest import read_manifest


def build(directory, out, *more):
    return main(["manifest", "build", "epic_kitchens", str(directory), "--out", str(out), *more])


def last_error(capsys):
    return " ".join(capsys.readouterr().err.strip().splitlines()[-1].split())


def segment(narration_id, start, stop, start_frame, stop_frame, narration="take plate"):
    video_id, participant = narration_id.rsplit("_", 1)[0], narration_id.split("_")[0]
    return {
        "narration_id": narration_id, "participant_id": participant, "video_id": video_id,
        "narration_timestamp": "00:00:00.560", "start_timestamp": start, "stop_timestamp": stop,
        "start_frame": start_frame, "stop_frame": stop_frame, "narration": narration,
        "verb": "take", "verb_class": 0, "noun": "plate", "noun_class": 2,
        "all_nouns": "['plate']", "all_noun_classes": "[2]",
    }  # fmt: skip


TRAIN = [
    segment("P01_01_10", "00:00:02.00", "00:00:03.00", 120, 180),
    segment("P01_01_9", "00:00:00.00", "00:00:01.00", 1, 60, "wash, dry"),
    segment("P01_01_11", "00:00:03.00", "00:00:03.10", 180, 186),
    segment("P02_101_0", "00:00:01.00", "00:00:09.00", 50, 450),
]
VALIDATION = [segment("P02_102_0", "00:00:00.50", "00:00:01.50", 25, 75)]
VIDEO_INFO = [
    {"video_id": "P01_01", "duration": 4.0, "fps": 59.9400599400599, "resolution": "64x48"},
    {"video_id": "P02_101", "duration": 4.0, "fps": 50.0, "resolution": "64x48"},
    {"video_id": "P02_102", "duration": 2.0, "fps": 50.0, "resolution": "64x48"},
]


@pytest.fixture
def data(tmp_path):
    """The tables, as the repository of the annotations has them."""
    folder = tmp_path / "epic-kitchens-100-annotations"
    write_table(folder / "EPIC_100_train.csv", TRAIN)
    write_table(folder / "EPIC_100_validation.csv", VALIDATION)
    write_table(folder / "EPIC_100_video_info.csv", VIDEO_INFO)
    return tmp_path


@pytest.fixture
def videos(data):
    """With upper-case suffixes, as they are delivered."""
    root = data / "EPIC-KITCHENS"
    write_clip(root / "P01" / "videos" / "P01_01.MP4", 4.0, fps=59.94)
    write_clip(root / "P02" / "videos" / "P02_101.MP4", 4.0, fps=50)
    write_clip(root / "P02" / "videos" / "P02_102.mp4", 2.0, fps=50)
    return data


def test_videos_go_by_time(videos, capsys):
    out = videos / "m.parquet"
    assert build(videos, out) == 0
    clips = list(read_manifest(out))
    assert [(c.clip_id, c.path, c.split, c.label) for c in clips] == [
        ("P01_01_9", "P01/videos/P01_01.MP4", "train", "wash, dry"),
        ("P01_01_10", "P01/videos/P01_01.MP4", "train", "take plate"),
        ("P02_101_0", "P02/videos/P02_101.MP4", "train", "take plate"),
        ("P02_102_0", "P02/videos/P02_102.mp4", "val", "take plate"),
    ]
    assert [(c.start_frame, c.end_frame, c.stride) for c in clips] == [
        (0, 60, 6),
        (120, 180, 6),  # ceil(2.00 * 59.94), ceil(3.00 * 59.94)
        (50, 200, 5),  # ends with its video
        (25, 75, 5),
    ]
    shown = " ".join(capsys.readouterr().out.split())
    assert "recognised: EPIC-KITCHENS-100, videos" in shown
    assert "left out: 1 segments with fewer than 3 frames" in shown
    assert main(["manifest", "check", str(out), "--workers", "1"]) == 0


def test_late_segments_do_not_drift(data):
    """The numbers of the table are 60 a second; the video has 59.94."""
    tables = data / "epic-kitchens-100-annotations"
    write_table(
        tables / "EPIC_100_train.csv",
        [segment("P01_11_100", "00:05:27.28", "00:05:31.97", 19636, 19918)],
    )
    (tables / "EPIC_100_validation.csv").unlink()
    info = {"video_id": "P01_11", "duration": 400, "fps": 59.9400599400599, "resolution": "64x48"}
    write_table(tables / "EPIC_100_video_info.csv", [info])
    assert build(data, data / "m.csv", "--allow-missing", "--rate-hz", "60") == 0
    (clip,) = read_manifest(data / "m.csv")
    assert clip.path == "P01/videos/P01_11.MP4"
    assert (clip.start_frame, clip.end_frame) == (19618, 19899)
    assert clip.start_frame / clip.fps == pytest.approx(327.28, abs=1 / 59)


def test_frames_go_by_number(data, capsys):
    for name, count in (("P01_01", 186), ("P02_101", 450), ("P02_102", 75)):
        folder = data / "EPIC-KITCHENS" / name[:3] / "rgb_frames" / name
        write_pictures(folder, "frame_%010d.jpg", range(1, count + 1), size=16)
    out = data / "m.csv"
    assert build(data, out) == 0
    clips = list(read_manifest(out))
    assert clips[0].path == "P01/rgb_frames/P01_01/frame_%010d.jpg"
    assert [(c.start_frame, c.end_frame, c.stride, c.fps) for c in clips] == [
        (1, 61, 6, 60), (120, 181, 6, 60), (50, 451, 5, 50), (25, 76, 5, 50),
    ]  # fmt: skip
    assert (clips[0].width, clips[0].height) == (16, 16)
    assert "frames (frame_%010d.jpg from 1)" in capsys.readouterr().out
    assert main(["manifest", "check", str(out), "--workers", "1"]) == 0


def test_without_the_table_of_validation_videos_are_drawn(videos):
    (videos / "epic-kitchens-100-annotations" / "EPIC_100_validation.csv").unlink()
    assert build(videos, videos / "m.csv") == 0
    assert {clip.split for clip in read_manifest(videos / "m.csv")} == {"train", "val"}


def test_probing_needs_no_table_of_videos(videos, capsys):
    (videos / "epic-kitchens-100-annotations" / "EPIC_100_video_info.csv").unlink()
    out = videos / "m.csv"
    assert build(videos, out) == 2
    error = last_error(capsys)
    assert "looked for EPIC_100_video_info.csv" in error
    assert error.endswith("without it, open every video by --probe")
    (videos / "EPIC-KITCHENS" / "P02" / "videos" / "P02_101.MP4").write_text("not a video")
    assert build(videos, out, "--probe", "--workers", "1") == 0
    assert [clip.clip_id for clip in read_manifest(out)] == ["P01_01_9", "P01_01_10", "P02_102_0"]
    assert "1 left out" in capsys.readouterr().out


def test_videos_that_are_not_there(videos, capsys):
    (videos / "EPIC-KITCHENS" / "P02" / "videos" / "P02_102.mp4").unlink()
    out = videos / "m.csv"
    assert build(videos, out) == 2
    assert (
        f"1 of 3 files are not in {videos / 'EPIC-KITCHENS'}, the first is P02/videos/P02_102.MP4"
        in last_error(capsys)
    )
    assert build(videos, out, "--allow-missing") == 0
    assert "P02/videos/P02_102.MP4" in {clip.path for clip in read_manifest(out)}


def test_folders_and_tables_of_another_form(data, capsys):
    (data / "other").mkdir()
    out = data / "m.csv"
    assert build(data / "other", out, "--annotations", str(data / "other")) == 2
    assert (
        f"{data / 'other'} is not laid out as EPIC-KITCHENS-100's annotations: looked for "
        "EPIC_100_train.csv or EPIC_100_validation.csv, found nothing" in last_error(capsys)
    )
    assert build(data / "nowhere", out) == 2
    assert "there is no folder" in last_error(capsys)
    tables = data / "epic-kitchens-100-annotations"
    write_table(tables / "EPIC_100_train.csv", [{"narration_id": 1, "video_id": 2}])
    assert build(data, out) == 2
    assert "lacks the column 'start_timestamp'; it has narration_id, video_id" in last_error(capsys)
    write_table(tables / "EPIC_100_train.csv", [segment("P01_01_1", "soon", "later", 1, 2)])
    assert build(data, out) == 2
    assert (
        "EPIC_100_train.csv, row 1: the time is 'soon', expected such as 00:05:27.28"
        in last_error(capsys)
    )
    write_table(
        tables / "EPIC_100_train.csv", [segment("P01_01_1", "-00:00:01.00", "00:00:02.00", 1, 2)]
    )
    assert build(data, out) == 2
    assert "row 1: the time is '-00:00:01.00', expected such as" in last_error(capsys)
    assert build(data, out, "--media", "film") == 2
