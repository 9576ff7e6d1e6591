"""Annotations in other encodings and with rows that are wrong, and rates that files do not have.

What can be read is built, and what is passed over is said with its file and row.
"""

import json

import pytest

from tests import SHARED
from tests.fixtures import media
from tests.fixtures.datasets import (
    UIDS,
    ego4d_video,
    narrations,
    write_clip,
    write_ego4d,
    write_table,
)
from tests.fixtures.manifests import build, unreadable, words
from vipl.cli import main
from vipl.data.manifests.manifest import read_manifest

CASES = SHARED / "cases"
A, B, C = UIDS[:3]
SEGMENT = {
    "narration_id": "P01_01_0", "participant_id": "P01", "video_id": "P01_01",
    "start_timestamp": "00:00:01.00", "stop_timestamp": "00:00:02.00", "start_frame": 60,
    "stop_frame": 120, "narration": "öffnen",
}  # fmt: skip
INFO = {"video_id": "P01_01", "duration": 10.0, "fps": 60.0, "resolution": "64x48"}


@pytest.fixture
def cases():
    if not CASES.is_dir():
        pytest.skip("no folder of cases beside the repository")
    return CASES


def epic(directory, rows, info=INFO, *, encoding="utf-8"):
    """Write the tables; a row that is a text is a line of the file."""
    tables = directory / "annotations"
    file = write_table(tables / "EPIC_100_train.csv", [r for r in rows if isinstance(r, dict)])
    lines = [row for row in rows if isinstance(row, str)]
    file.write_bytes((file.read_text() + "".join(f"{x}\n" for x in lines)).encode(encoding))
    write_table(tables / "EPIC_100_video_info.csv", [info])
    return directory


def test_a_rate_that_is_another_in_the_file(tmp_path, capsys):
    """Seconds 1 to 2 of a video of 30 frames a second are not frames 60 to 120."""
    epic(tmp_path, [SEGMENT])
    write_clip(tmp_path / "P01" / "videos" / "P01_01.MP4", 10.0, fps=30)
    out = tmp_path / "m.csv"
    assert build("epic_kitchens", tmp_path, out) == 2
    assert (
        "P01/videos/P01_01.MP4 has 30 frames a second, EPIC_100_video_info.csv says 60"
        in (words(capsys)[1])
    )
    assert not out.exists()
    assert build("epic_kitchens", tmp_path, out, "--probe", "--workers", "1") == 0
    (clip,) = read_manifest(out)
    assert (clip.start_frame, clip.end_frame, clip.fps) == (30, 60, 30)
    text = out.read_text().replace(",30,60,30,", ",60,120,60,")  # as was built before
    out.write_text(text)
    out.with_suffix(".json").unlink()
    assert main(["manifest", "check", str(out), "--workers", "1"]) == 2
    assert "has 30 frames a second, the manifest says 60" in words(capsys)[0]


def test_rates_and_counts_of_ego4d_are_compared(tmp_path, capsys, tables):
    root = write_ego4d(tmp_path, [ego4d_video(A)], {A: {"narration_pass_1": narrations(1.0, 17.0)}})
    out = tmp_path / "m.csv"
    write_clip(root / "full_scale" / f"{A}.mp4", 10.0)
    assert build("ego4d", tmp_path, out) == 0
    path = f"full_scale/{A}.mp4"
    assert tables == [(path, "has 300 frames, the manifest names frame 597")]
    write_clip(root / "full_scale" / f"{A}.mp4", 20.0, fps=29.7)
    assert build("ego4d", tmp_path, out) == 2
    assert "has 29.7 frames a second, ego4d.json says 30" in words(capsys)[1]


def test_rows_that_are_wrong_are_passed_over_by_name(tmp_path, capsys):
    rows = [
        SEGMENT,
        SEGMENT | {"narration_id": "nan", "start_timestamp": "00:00:nan"},
        SEGMENT | {"narration_id": "infinite", "stop_timestamp": "00:00:inf"},
        SEGMENT | {"narration_id": "back", "stop_timestamp": "00:00:00.50"},
        SEGMENT | {"narration_id": "minus", "start_frame": -1},
        SEGMENT | {"narration_id": "huge", "stop_frame": 10**30},
        SEGMENT | {"narration_id": "out", "video_id": "../x"},
        SEGMENT | {"narration": "again"},
        SEGMENT | {"narration_id": 'a "quoted", one', "narration": "two\nlines"},
        "P01_01_7,P01,P01_01",
        "P01_01_8,P01,P01_01,00:00:01.00,00:00:02.00,60,120,wash, dry",
        'P01_01_9,P01,P01_01,00:00:01.00,00:00:02.00,60,120,"wash" dry',
    ]
    out = tmp_path / "m.csv"
    assert build("epic_kitchens", epic(tmp_path, rows), out, "--allow-missing") == 0
    clips = {clip.clip_id: clip.label for clip in read_manifest(out)}
    assert clips == {"P01_01_0": "öffnen", 'a "quoted", one': "two\nlines"}
    reasons = unreadable(out)
    expected = {
        2: "the time is '00:00:nan', expected such as 00:05:27.28",
        3: "the time is '00:00:inf', expected such as",
        4: "it ends at 0.5 s, frame 120, before its beginning",
        5: "the start_frame is '-1', expected a number of 0 or more",
        6: f"the stop_frame is '{10**30}', expected a number of 0 or more",
        7: "the video_id is '../x', expected such as P01_101",
        10: "3 values, expected 8",
        11: "9 values, expected 8",
        12: "the quotes are wrong",
    }
    for row, reason in expected.items():
        assert reasons.pop(f"EPIC_100_train.csv, row {row}").startswith(reason)
    assert reasons == {"narration_id P01_01_0": "another row has the same"}
    assert "10 left out" in words(capsys)[0]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_every_unicode_encoding_is_read(tmp_path, encoding):
    epic(tmp_path, [SEGMENT], encoding=encoding)
    assert build("epic_kitchens", tmp_path, tmp_path / "m.csv", "--allow-missing") == 0
    (clip,) = read_manifest(tmp_path / "m.csv")
    assert clip.label == "öffnen"
    for name in ("m.csv", "m.json"):
        file = tmp_path / name
        file.write_bytes(file.read_text(encoding="utf-8").encode(encoding))
    assert list(read_manifest(tmp_path / "m.csv")) == [clip]


@pytest.mark.parametrize(
    ("rows", "encoding", "message"),
    [
        ([SEGMENT], "latin-1", "EPIC_100_train.csv is not in UTF-8 in line 2: save it as UTF-8"),
        ([SEGMENT, 'x,"'], "utf-8", "EPIC_100_train.csv has a quote in line 3 that is not closed"),
        ([SEGMENT | {"video_id": ""}], "utf-8", "no row of"),
    ],
)
def test_tables_that_cannot_be_read_are_one_sentence(tmp_path, capsys, rows, encoding, message):
    epic(tmp_path, rows, encoding=encoding)
    assert build("epic_kitchens", tmp_path, tmp_path / "m.csv", "--allow-missing") == 2
    assert message in words(capsys)[1]


@pytest.mark.parametrize(
    ("source", "name", "message"),
    [
        ("epic_kitchens", "EPIC_100_train.csv", "gives no clip: it is empty"),
        ("epic_kitchens", "EPIC_100_video_info.csv", "1 segments of videos that are unknown"),
        ("frames", "manifest.csv", "found the columns none"),
        ("ego4d", "ego4d.json", "ego4d.json is not whole, or no JSON"),
        ("ssv2", "train.json", "train.json is not whole, or no JSON"),
    ],
)
def test_files_of_no_bytes(tmp_path, capsys, source, name, message):
    epic(tmp_path, [SEGMENT])
    (tmp_path / "1.webm").touch()
    folder = tmp_path / "annotations" if source == "epic_kitchens" else tmp_path
    (folder / name).write_bytes(b"")
    more = [] if source == "frames" else ["--allow-missing"]
    if source == "ego4d":
        more += ["--narrations", str(folder / name), "--videos", "later"]
    assert build(source, tmp_path, tmp_path / "m.csv", *more) == 2
    assert message in words(capsys)[1]


def test_a_table_with_a_column_twice(tmp_path, capsys):
    file = tmp_path / "manifest.csv"
    file.write_text("path,len,len\na/,5,6\n")
    assert build("frames", tmp_path, tmp_path / "m.csv") == 2
    assert "manifest.csv has the column 'len' twice" in words(capsys)[1]


def test_json_with_a_mark_with_nan_and_with_nulls(tmp_path, capsys):
    """In one file each: what is known is built."""
    root = write_ego4d(
        tmp_path,
        [
            ego4d_video(A, video_metadata={"fps": float("nan")}),
            ego4d_video(B, video_metadata={"num_frames": 10**30}),
            ego4d_video(C),
            None,
            ego4d_video("../x"),
            {"video_uid": 7, "video_metadata": []},
            ego4d_video("d", redacted_intervals=["never"]),
        ],
        {
            A: {"narration_pass_1": narrations(3.0)},
            C: {
                "narration_pass_1": {
                    "narrations": [
                        None,
                        *narrations(3.0)["narrations"],
                        {"timestamp_sec": float("nan")},
                        {"timestamp_sec": 10**30},
                    ]
                },
                "narration_pass_2": None,
            },
        },
    )
    for name in ("ego4d.json", "annotations/narration.json"):
        file = root / name
        file.write_bytes(file.read_text().encode("utf-8-sig"))
    (root / "full_scale").mkdir()
    assert build("ego4d", tmp_path, tmp_path / "m.csv", "--allow-missing") == 0
    assert [clip.clip_id for clip in read_manifest(tmp_path / "m.csv")] == [f"{C}/1/90"]
    shown = words(capsys)[0]
    for fate in (
        "2 videos without frame rate, count or size in ego4d.json",
        "3 videos without a video_uid that can name a file",
        "1 videos redacted at unknown times",
        "3 narrations without a time",
    ):
        assert f"left out: {fate}" in shown


def test_json_in_another_encoding_is_one_sentence(tmp_path, capsys):
    root = write_ego4d(tmp_path, [ego4d_video(A)], {A: {"narration_pass_1": narrations(3.0)}})
    (root / "full_scale").mkdir()
    text = '{"videos": [\n{"video_uid": "é"}]}'
    (root / "ego4d.json").write_bytes(text.encode("latin-1"))
    assert build("ego4d", tmp_path, tmp_path / "m.csv") == 2
    assert "ego4d.json is not in UTF-8 in line 2: save it as UTF-8" in words(capsys)[1]
    (root / "ego4d.json").write_text('{"videos": ' + "[" * 6000)
    assert build("ego4d", tmp_path, tmp_path / "m.csv") == 2
    assert "ego4d.json is not whole, or no JSON (nested too deeply)" in words(capsys)[1]


def test_labels_without_a_name(tmp_path, capsys):
    media.write_video(tmp_path / "videos" / "1.webm", codec="libvpx-vp9")
    labels = [{"id": "1", "label": None}, {"id": "../2"}, {"label": "x"}, None, {"id": "a\\b"}]
    (tmp_path / "train.json").write_bytes(json.dumps(labels).encode("utf-16"))
    assert build("ssv2", tmp_path, tmp_path / "m.csv", "--workers", "1") == 0
    (clip,) = read_manifest(tmp_path / "m.csv")
    assert (clip.clip_id, clip.label) == ("1", "")
    reasons = unreadable(tmp_path / "m.csv")
    assert sorted(reasons) == [f"train.json, video {number}" for number in (2, 3, 4, 5)]


# --- the cases beside the repository -------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "clips", "fate"),
    [
        ("ego4d_bom", 12, ""),
        ("ego4d_nan_fps", 9, "1 videos without frame rate, count or size in ego4d.json"),
        ("ego4d_null_narr", 12, "1 narrations without a time"),
    ],
)
def test_cases_of_ego4d(cases, tmp_path, capsys, name, clips, fate):
    out = tmp_path / "m.csv"
    assert build("ego4d", cases / "tables" / name, out, "--allow-missing") == 0
    shown = words(capsys)[0]
    assert fate in shown
    assert len(read_manifest(out)) == clips


def test_cases_of_epic_kitchens(cases, tmp_path, capsys):
    out = tmp_path / "m.csv"
    assert build("epic_kitchens", cases / "tables" / "epic_30fps_said_to_be_60", out) == 2
    assert (
        "P01_01.MP4 has 30 frames a second, EPIC_100_video_info.csv says 59.94"
        in (words(capsys)[1])
    )
    assert build("epic_kitchens", cases / "tables" / "epic_latin1", out) == 2
    assert "EPIC_100_train.csv is not in UTF-8 in line 2" in words(capsys)[1]


def test_a_case_of_pictures(cases, tmp_path, capsys):
    out = tmp_path / "m.csv"
    assert build("frames", cases / "pictures" / "truncated_frame", out) == 0
    assert main(["manifest", "check", str(out)]) == 2
    assert "1 problems" in words(capsys)[1]
