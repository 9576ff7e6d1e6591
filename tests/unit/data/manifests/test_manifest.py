"""The manifest: reading, writing, its hash, and what it refuses."""

import csv
import hashlib
import json
import struct
from dataclasses import asdict, replace

import pyarrow as pa
import pyarrow.parquet
import pytest

from vipl.data.checking.presence import missing_files, with_files
from vipl.data.manifests.manifest import (
    Clip,
    content_sha256,
    read_manifest,
    sidecar_path,
    to_table,
    write_manifest,
)
from vipl.data.manifests.validation import SCHEMA
from vipl.errors import UserError

CLIP = Clip(
    clip_id="a#0",
    path="videos/a.mp4",
    start_frame=0,
    end_frame=30,
    fps=29.97,
    width=320,
    height=240,
    split="train",
    source="folder",
    label="öffne die Tür",
)
CLIPS = [
    CLIP,
    replace(CLIP, clip_id="b#0", path="videos/b.mp4", split="val", label=""),
    replace(CLIP, clip_id="a#1", start_frame=30, end_frame=60, decoder="pyav"),
]


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_what_is_written_is_read_again(tmp_path, suffix):
    written = write_manifest(CLIPS, tmp_path / f"m{suffix}", recipe={"source": "test"})
    manifest = read_manifest(tmp_path / f"m{suffix}")
    assert list(manifest) == CLIPS
    assert manifest.sha256 == written.sha256
    assert manifest.root == tmp_path
    assert manifest.video_path(manifest[0]) == tmp_path / "videos/a.mp4"
    assert [clip.clip_id for clip in manifest.only("val")] == ["b#0"]
    sidecar = json.loads((tmp_path / "m.json").read_text())
    assert sidecar["schema_version"] == 1
    assert sidecar["recipe"] == {"source": "test"}
    assert sidecar["splits"] == {"train": 2, "val": 1}
    assert (sidecar["num_clips"], sidecar["num_videos"], sidecar["num_frames"]) == (3, 2, 90)


def test_the_hash_is_of_the_content_not_of_the_format(tmp_path):
    table = write_manifest(CLIPS, tmp_path / "m.parquet", recipe={})
    text = write_manifest(CLIPS, tmp_path / "n.csv", recipe={"another": "recipe"})
    assert table.sha256 == text.sha256
    changed = [*CLIPS[:2], replace(CLIPS[2], label="x")]
    other = write_manifest(changed, tmp_path / "o.csv", recipe={})
    assert other.sha256 != table.sha256


@pytest.mark.parametrize("strides", [(1, 1, 1), (1, 3, 1)])
def test_the_hash_is_of_these_bytes(strides):
    """Written out here, so that a change of the hash cannot pass unseen."""
    clips = [replace(clip, stride=stride) for clip, stride in zip(CLIPS, strides, strict=True)]
    table = pa.Table.from_pylist([asdict(clip) for clip in clips], schema=SCHEMA)
    digest = hashlib.sha256()
    for name in SCHEMA.names:
        if name == "stride" and set(strides) == {1}:
            continue  # as in manifests that lack the column
        digest.update(name.encode())
        values = [getattr(clip, name) for clip in clips]
        if isinstance(values[0], str):
            encoded = [value.encode() for value in values]
            digest.update(struct.pack("<3q", *map(len, encoded)) + b"".join(encoded))
        else:
            digest.update(struct.pack("<3d" if name == "fps" else "<3q", *values))
    assert content_sha256(table) == digest.hexdigest()
    again = pa.concat_tables([table.slice(0, 1), table.slice(1, 2)])
    assert content_sha256(again) == digest.hexdigest()


def test_root_is_remembered_relative_to_the_manifest(tmp_path):
    out = tmp_path / "tables" / "m.parquet"
    write_manifest(CLIPS, out, recipe={}, root=tmp_path / "data")
    assert read_manifest(out).root == tmp_path / "data"
    assert read_manifest(out, root="/elsewhere").root.as_posix() == "/elsewhere"


def test_an_edited_manifest_is_refused_until_its_sidecar_is_gone(tmp_path):
    out = tmp_path / "m.csv"
    write_manifest(CLIPS, out, recipe={})
    out.write_text(out.read_text().replace("29.97", "30.00", 1))
    with pytest.raises(UserError, match="has changed since it was built"):
        read_manifest(out)
    sidecar_path(out).unlink()
    assert len(read_manifest(out)) == 3


def test_a_stride_takes_every_so_manyth_frame(tmp_path):
    clip = replace(CLIP, start_frame=10, end_frame=20, stride=3)
    assert clip.num_frames == 4
    assert clip.frame_numbers(range(4)) == [10, 13, 16, 19]
    assert [replace(clip, end_frame=end).num_frames for end in (17, 18, 19)] == [3, 3, 3]
    manifest = write_manifest([clip, CLIPS[1]], tmp_path / "m.csv", recipe={})
    assert list(read_manifest(tmp_path / "m.csv")) == [clip, CLIPS[1]]
    assert manifest.root == tmp_path
    assert json.loads((tmp_path / "m.json").read_text())["num_frames"] == 4 + 30


def test_many_rows_are_as_few(tmp_path):
    """More than are turned into a table at a time."""
    clips = [replace(CLIP, clip_id=str(number)) for number in range(70_000)]
    table = to_table(iter(clips))
    assert table.column("clip_id").to_pylist() == [clip.clip_id for clip in clips]
    manifest = write_manifest(table, tmp_path / "m.parquet", recipe={})
    again = read_manifest(tmp_path / "m.parquet")
    assert (len(again), again.sha256, again[69_999]) == (70_000, manifest.sha256, clips[-1])
    with pytest.raises(UserError, match="row 70001, column clip_id: '5', expected a unique id; ro"):
        write_manifest([*clips, clips[5]], tmp_path / "n.parquet", recipe={})


def test_missing_files_are_counted_named_and_left_out(tmp_path):
    pictures = replace(CLIP, clip_id="c", path="frames/%06d.jpg", start_frame=1, end_frame=31)
    write_manifest([*CLIPS, pictures], tmp_path / "m.csv", recipe={})
    manifest = read_manifest(tmp_path / "m.csv")
    assert missing_files(manifest) == ["frames/%06d.jpg", "videos/a.mp4", "videos/b.mp4"]
    for name in ("videos/b.mp4", "frames/000001.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    message = f"1 of 3 files are not in {tmp_path}, the first is videos/a.mp4: go and look"
    with pytest.raises(UserError, match=message):
        with_files(manifest, allow_missing=False, remedy="go and look")
    rest = with_files(manifest, allow_missing=True, remedy="")
    assert [clip.clip_id for clip in rest] == ["b#0", "c"]
    assert rest.sha256 != manifest.sha256
    (tmp_path / "videos/a.mp4").touch()
    assert with_files(manifest, allow_missing=False, remedy="") is manifest
    with pytest.raises(UserError, match="3 of 3 files are not in"):  # that is another folder
        with_files(replace(manifest, root=tmp_path / "x"), allow_missing=True, remedy="")


def test_missing_files_of_a_folder_with_many(tmp_path):
    """That folder is listed, and its links are followed."""
    clips = [replace(CLIP, clip_id=str(n), path=f"many/{n:03d}.mp4") for n in range(100)]
    (tmp_path / "many").mkdir()
    for number in range(90):
        (tmp_path / clips[number].path).touch()
    (tmp_path / clips[90].path).symlink_to(tmp_path / clips[0].path)
    (tmp_path / clips[91].path).symlink_to(tmp_path / "nowhere.mp4")
    manifest = write_manifest(clips, tmp_path / "m.parquet", recipe={})
    assert missing_files(manifest) == [f"many/{n:03d}.mp4" for n in range(91, 100)]


def write_csv(file_path, **changes):
    """Write one good row with changes; a column set to None is left out."""
    optional = ("decoder", "stride")
    row = {name: getattr(CLIP, name) for name in Clip.__dataclass_fields__ if name not in optional}
    row |= changes
    row = {name: value for name, value in row.items() if value is not None}
    with file_path.open("w", newline="") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerow(row)
        writer.writerow(row | {"clip_id": "second"})
    return file_path


def test_optional_columns_may_be_missing(tmp_path):
    clip = read_manifest(write_csv(tmp_path / "m.csv"))[0]
    assert (clip.decoder, clip.stride) == ("any", 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fps": None}, "m.csv lacks the column 'fps' .expected: clip_id, path,"),
        ({"fps": None, "fsp": 1}, "did you mean it by 'fsp'"),
        ({"colour": 1}, "unknown column 'colour'"),
        ({"start_frame": "zero"}, "row 1, column start_frame: 'zero', expected type int64"),
        ({"end_frame": 2}, "row 1, column end_frame: 2, expected at least start_frame . 3"),
        ({"end_frame": 31, "stride": 16}, "row 1, column end_frame: 31, .*, a stride apart"),
        ({"stride": 2**62}, "row 1, column end_frame: 30, .*, a stride apart"),
        ({"end_frame": 10**30}, "row 1, column end_frame: '1000.*', expected type int64"),
        ({"fps": "inf"}, "row 1, column fps: inf, expected a rate above 0"),
        ({"path": "a\\b.mp4"}, "row 1, column path"),
        ({"path": "a\0b.mp4"}, "row 1, column path"),
        ({"stride": 0}, "row 1, column stride: 0, expected a step of 1 or more frames"),
        ({"start_frame": -1}, "row 1, column start_frame: -1, expected a frame number of 0 or"),
        ({"fps": 0}, "row 1, column fps: 0.0, expected a rate above 0"),
        ({"fps": "nan"}, "row 1, column fps"),
        ({"width": 0}, "row 1, column width: 0, expected a size above 0"),
        ({"split": "test"}, "row 1, column split: 'test', expected 'train' or 'val'"),
        ({"decoder": "vlc"}, "row 1, column decoder: 'vlc', expected 'any' or 'pyav'"),
        ({"path": "../a.mp4"}, "row 1, column path: '../a.mp4', expected a relative path that"),
        ({"path": "a/../../b"}, "row 1, column path"),
        ({"path": "/etc/passwd"}, "row 1, column path: '/etc/passwd'"),
        ({"clip_id": "second"}, "row 2, column clip_id: 'second', expected a unique id; row 1"),
    ],
)
def test_errors_name_the_row_the_column_and_what_was_expected(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        read_manifest(write_csv(tmp_path / "m.csv", **changes))


def test_an_empty_cell_is_named(tmp_path):
    columns = {name: [getattr(CLIP, name)] for name in Clip.__dataclass_fields__}
    table = pa.table(columns | {"path": pa.array([None], pa.string())})
    pyarrow.parquet.write_table(table, tmp_path / "m.parquet")
    with pytest.raises(UserError, match="row 1, column path: empty, expected a value of type"):
        read_manifest(tmp_path / "m.parquet")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.parquet", None, "there is no manifest .*vipl manifest build folder"),
        ("m.txt", "x", "ends in .parquet or .csv"),
        ("m.parquet", "not parquet", "cannot be read as parquet"),
        ("m.parquet", "", "cannot be read as parquet"),
        ("m.csv", "", "cannot be read as csv"),
        ("m.csv", "a,b\n1,2,3\n", "cannot be read as csv|lacks the column"),
    ],
)
def test_files_that_are_no_manifest(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message):
        read_manifest(tmp_path / name)


def test_a_manifest_without_rows_is_refused(tmp_path):
    (tmp_path / "m.csv").write_text(
        "clip_id,path,start_frame,end_frame,fps,width,height,split,source,label\n"
    )
    with pytest.raises(UserError, match="no rows"):
        read_manifest(tmp_path / "m.csv")
    with pytest.raises(UserError, match="no clip to write"):
        write_manifest([], tmp_path / "n.csv", recipe={})


def test_nothing_half_written_when_a_row_is_wrong(tmp_path):
    with pytest.raises(UserError, match="row 2, column path"):
        write_manifest([CLIP, replace(CLIP, path="../x")], tmp_path / "m.parquet", recipe={})
    assert list(tmp_path.iterdir()) == []


def test_ids_of_digits_stay_text_behind_a_byte_order_mark(tmp_path):
    file = write_csv(tmp_path / "m.csv", clip_id="007")
    file.write_bytes(file.read_bytes().decode().encode("utf-8-sig"))
    assert [clip.clip_id for clip in read_manifest(file)] == ["007", "second"]


def test_a_column_that_is_there_twice(tmp_path):
    (tmp_path / "m.csv").write_text("clip_id,clip_id\na,b\n")
    with pytest.raises(UserError, match="has the column 'clip_id' twice"):
        read_manifest(tmp_path / "m.csv")


def test_nothing_is_read_into_the_names_of_folders(tmp_path):
    """`split=val` is how partitioned tables name the folders of their parts."""
    out = tmp_path / "split=val" / "colour=red" / "m.parquet"
    write_manifest([CLIP], out, recipe={})
    assert [clip.split for clip in read_manifest(out)] == ["train"]


def test_parquet_that_is_damaged_or_holds_no_text(tmp_path):
    file = tmp_path / "m.parquet"
    write_manifest(CLIPS, file, recipe={})
    sidecar_path(file).unlink()
    good = file.read_bytes()
    for damaged in (good[:-20], good[: len(good) // 2], good[:4] + bytes(200) + good[204:]):
        file.write_bytes(damaged)
        with pytest.raises(UserError, match=r"m\.parquet cannot be read as parquet: "):
            read_manifest(file)
    file.write_bytes(good.replace("öffne".encode(), b"\xffoffne"))
    with pytest.raises(UserError, match=r"cannot be read as parquet: .*UTF8"):
        read_manifest(file)
    columns = {name: [getattr(CLIP, name)] for name in Clip.__dataclass_fields__}
    table = pa.table(columns | {"clip_id": pa.array([b"\xff"], pa.binary())})
    pyarrow.parquet.write_table(table, file)
    with pytest.raises(UserError, match="row 1, column clip_id"):
        read_manifest(file)
    table = pa.table(columns | {"label": pa.array([None], pa.int64())})  # as of an empty column
    pyarrow.parquet.write_table(table, file)
    assert read_manifest(file)[0].label == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 100_000, "m.json is not whole, or no JSON .nested too deeply.: delete it or build"),
        (b'{"schema_version": 1, "root": 7}', "names the root 7, expected a folder"),
        (b'{"schema_version": 1, "root": "\xe9"}', "m.json is not in UTF-8 in line 1"),
        (b"[1]", "has schema version None"),
    ],
)
def test_sidecars_that_are_none(tmp_path, content, message):
    write_manifest(CLIPS, tmp_path / "m.csv", recipe={})
    (tmp_path / "m.json").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_manifest(tmp_path / "m.csv")
