"""Every function that reads a file of a user's, on a thousand files that are wrong somewhere.

Each either reads such a file or refuses it by a UserError, and never ends otherwise. What a source
of clips reads makes valid rows: one wrong row must not cost the others.
"""

import dataclasses
import json
import random
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.fixtures.datasets import (
    UIDS,
    ego4d_video,
    narrations,
    write_ego4d,
    write_pictures,
    write_table,
)
from tests.fixtures.mutations import damaged, mutated
from vipl.config.composing import compose
from vipl.data.checking.bad_clips import BadClip, read_bad_clips, write_bad_clips
from vipl.data.decoding.frame_archive import FrameArchive, header
from vipl.data.decoding.frame_folder import read_picture
from vipl.data.decoding.probe import VideoInfo
from vipl.data.manifests.manifest import Clip, read_manifest, to_table, write_manifest
from vipl.data.manifests.validation import conform
from vipl.data.sources import ssv2
from vipl.data.sources.ego4d.build import build_ego4d
from vipl.data.sources.epic_kitchens import build_epic_kitchens
from vipl.data.sources.frames.build import build_frames
from vipl.data.sources.recipes import read_recipe
from vipl.embed.output import Output
from vipl.errors import UserError

pytestmark = pytest.mark.slow

INPUTS = 1000
CLIPS = [
    Clip(f"{n}", f"v/{n}.mp4", 0, 30, 29.97, 320, 240, "train" if n else "val", "folder", "öffnen")
    for n in range(3)
]


def fuzz(file, read, change=mutated, *, seed=0):
    """Give `read` a thousand changes of a file; some must be read, and some refused."""
    good, rng = file.read_bytes(), random.Random(seed)
    read()
    outcomes, messages = {"read": 0, "refused": 0}, []
    for number in range(INPUTS):
        file.write_bytes(change(good, rng))
        try:
            read()
            outcomes["read"] += 1
        except UserError as error:
            outcomes["refused"] += 1
            messages.append(str(error))
        except Exception as error:
            raise AssertionError(f"input {number}: {file.read_bytes()[:2000]!r}") from error
    assert min(outcomes.values()) >= INPUTS // 100, outcomes
    assert [message for message in messages if "\n" in message] == []  # one sentence each


def rows(report):
    """Make the table of what a source found: all of it must be valid."""
    table = report.clips if hasattr(report.clips, "schema") else to_table(report.clips)
    try:
        conform(table, name="of the source")
    except UserError as error:
        raise AssertionError("the source made a row that is not valid") from error


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json"])
def test_manifests(tmp_path, suffix):
    out = tmp_path / f"m{suffix if suffix != '.json' else '.csv'}"
    write_manifest(CLIPS, out, recipe={"source": "folder"})
    if suffix != ".json":
        out.with_suffix(".json").unlink()
    change = damaged if suffix == ".parquet" else mutated
    fuzz(out.with_suffix(suffix), lambda: list(read_manifest(out)), change)


def test_parquet_of_other_types(tmp_path):
    """Columns of other types, as pandas and others write them, one at a time."""
    columns = {f.name: [getattr(clip, f.name) for clip in CLIPS] for f in dataclasses.fields(Clip)}
    values = [None, True, b"\xff", [1], {"a": 1}, float("nan"), 10**18, 2.5, "x", "", "9" * 30]
    outcomes = set()
    for name in columns:
        for value in values:
            changed = columns | {name: [value] * len(CLIPS)}
            table = pa.table({column: pa.array(found) for column, found in changed.items()})
            pq.write_table(table, tmp_path / "m.parquet")
            try:
                list(read_manifest(tmp_path / "m.parquet"))
                outcomes.add("read")
            except UserError:
                outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def test_recipes(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text(
        "source: ego4d\ndirectory: /data/ego4d\nout: ego4d.parquet\nrate_hz: 10\n"
        "allow_missing: false\npasses: both\nworkers: null\nmax_frames: 150\n"
    )
    fuzz(file, lambda: read_recipe(str(file), []))


@pytest.fixture
def ego4d(tmp_path):
    clips = [
        {"clip_uid": "c1", "video_uid": UIDS[0], "video_start_sec": 0.0, "video_end_sec": 10.0,
         "clip_metadata": {"fps": 30.0, "num_frames": 300}},
    ]  # fmt: skip
    videos = [
        ego4d_video(UIDS[0], split_em="train"),
        ego4d_video(UIDS[1], split_av="val", redacted_intervals=[{"start_sec": 1, "end_sec": 2.5}]),
        ego4d_video(UIDS[2]),
    ]
    narrated = {uid: {"narration_pass_1": narrations(3.0, 9.5)} for uid in UIDS[:3]}
    return write_ego4d(tmp_path, videos, narrated, clips=clips)


@pytest.mark.parametrize(
    ("name", "videos"),
    [
        ("ego4d.json", "full_scale"),
        ("ego4d.json", "clips"),
        ("annotations/narration.json", "full_scale"),
    ],
)
def test_ego4d(ego4d, name, videos):
    fuzz(
        ego4d / name, lambda: rows(build_ego4d(ego4d, videos=videos, allow_missing=True)),
        seed=len(name + videos),
    )  # fmt: skip


@pytest.fixture
def epic(tmp_path):
    segment = {
        "narration_id": "P01_01_0", "participant_id": "P01", "video_id": "P01_01",
        "start_timestamp": "00:00:00.00", "stop_timestamp": "00:00:01.50", "start_frame": 1,
        "stop_frame": 90, "narration": "wash, dry",
    }  # fmt: skip
    other = {"narration_id": "P01_02_0", "video_id": "P01_02", "narration": "öffnen"}
    tables = tmp_path / "annotations"
    write_table(tables / "EPIC_100_train.csv", [segment, segment | other])
    info = {"video_id": "P01_01", "duration": 4.0, "fps": 59.94, "resolution": "64x48"}
    write_table(tables / "EPIC_100_video_info.csv", [info, info | {"video_id": "P01_02"}])
    return tmp_path


@pytest.mark.parametrize("name", ["EPIC_100_train.csv", "EPIC_100_video_info.csv"])
def test_epic_kitchens(epic, name):
    fuzz(epic / "annotations" / name, lambda: rows(build_epic_kitchens(epic, allow_missing=True)))


def test_ssv2(tmp_path, monkeypatch):
    (tmp_path / "videos").mkdir()
    for name in ("1", "2", "10"):
        (tmp_path / "videos" / f"{name}.webm").touch()
    info = VideoInfo(24, 12.0, 64, 48, decoder="any")
    monkeypatch.setattr(ssv2, "open_all", lambda paths, *_, **__: dict.fromkeys(paths, info))
    labels = [{"id": name, "label": "höld it", "placeholders": ["it"]} for name in ("1", "2")]
    file = tmp_path / "train.json"
    file.write_text(json.dumps([*labels, {"id": 10, "label": None}]))
    fuzz(file, lambda: rows(ssv2.build_ssv2(tmp_path, allow_missing=True)))


@pytest.mark.parametrize(
    "columns", [("path", "len"), ("path", "len", "txt"), ("directory", "num_frames", "text")]
)
def test_tables_of_frames(tmp_path, columns):
    for name in "abc":
        write_pictures(tmp_path / name, "%06d.png", range(4), size=8)
    values = [(f"{name}/", 4, "öffnen, dann") for name in "abc"]
    table = [dict(zip(columns, value, strict=False)) for value in values]
    file = write_table(tmp_path / "manifest.csv", table)
    fuzz(file, lambda: rows(build_frames(file, allow_missing=True)), seed=len(columns))


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp"])
def test_pictures(tmp_path, suffix):
    file = tmp_path / f"0.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 24, 3), np.uint8)).save(file)
    fuzz(file, lambda: read_picture(file), damaged)


def test_packed_frames(tmp_path):
    """What is packed: the library's own damaged files are read in processes that may end."""
    jpeg = tmp_path / "0.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 24, 3), np.uint8)).save(jpeg)
    facts = tmp_path / "facts.json"
    facts.write_text(json.dumps({"width": "24", "height": "16", "fps_hz": "10.0"}))

    def read():
        text = facts.read_bytes().decode("utf-8", "replace")
        said = dict(re.findall(r'"(\w+)": "?([^",}]*)', text))
        schema = pa.schema([("jpeg", pa.binary())], metadata=said)
        with pa.OSFile(str(tmp_path / "0.arrow"), "wb") as out, pa.ipc.new_file(out, schema) as to:
            to.write(pa.record_batch([[jpeg.read_bytes()]], schema=schema))
        header(tmp_path / "0.arrow")
        with FrameArchive(tmp_path / "0.arrow", None) as archive:
            archive.read([0])

    fuzz(facts, read)
    facts.write_text(json.dumps({"width": "24", "height": "16", "fps_hz": "10.0"}))
    fuzz(jpeg, read, damaged)


# --- files of other commands ---------------------------------------------------------------------


def test_bad_clips(tmp_path):
    """A list that a killed run left: every line that is whole is read."""
    file = tmp_path / "bad_clips.csv"
    good = [BadClip(f"{n}", f"v/{n}.mp4", 'no "video", it says') for n in range(3)]
    write_bad_clips(file, good)
    text, rng = file.read_bytes(), random.Random(0)
    counts = set()
    for _ in range(INPUTS):
        file.write_bytes(mutated(text, rng))
        counts.add(len(list(read_bad_clips(file))))
    assert {0, 2, 3} <= counts


@pytest.mark.parametrize("name", ["x.parquet", "x.parquet.parts/settings.json"])
def test_outputs_of_embed(tmp_path, name):
    settings = {"encoder": "e", "precision": "32", "frames": "all", "videos": "v"}
    output = Output(tmp_path / "x.parquet", settings)
    output.claim()
    table = pa.table({"frame": [1, 2, 3]})
    held = {"vipl": json.dumps({"settings": settings})}
    if name == "x.parquet":
        output.remove_parts()
        pq.write_table(table.replace_schema_metadata(held), output.path)
        fuzz(output.path, output.is_complete, damaged)
    else:
        fuzz(tmp_path / name, output.claim)


def test_configurations(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(
        "data:\n  batch_size: 8\n  manifest: ${oc.env:HOME}/m.csv\nlr: 1e-3\nx: [1, 2]\n"
    )
    fuzz(file, lambda: compose([str(file)], []))
