"""`vipl manifest build frames`: the released layouts, and training on what they hold."""

import csv

import pytest

from tests import ROOT
from tests.fixtures.datasets import write_pictures, write_table
from vipl.cli import main
from vipl.data.manifests.manifest import read_manifest

CONFIG = ROOT / "configs" / "fit" / "folder.yaml"


def build(source, out, *more):
    return main(["manifest", "build", "frames", str(source), "--out", str(out), *more])


def last_error(capsys):
    return " ".join(capsys.readouterr().err.strip().splitlines()[-1].split())


def spans(out):
    return {
        clip.path: (clip.start_frame, clip.end_frame, clip.label) for clip in read_manifest(out)
    }


def test_vips_table(tmp_path, capsys):
    """Absolute folders that end in a slash, an index column without a name, frames from 0."""
    for name, length in (("000000", 12), ("000001", 5)):
        write_pictures(tmp_path / "data" / name, "%06d.jpg", range(length))
    rows = [
        {"": i, "path": f"{tmp_path}/data/{name}/", "len": length}
        for i, (name, length) in enumerate((("000000", 12), ("000001", 4)))
    ]
    write_table(tmp_path / "manifest.csv", rows)
    out = tmp_path / "m.parquet"
    assert build(tmp_path, out, "--val-fraction", "0.5") == 0
    assert spans(out) == {
        "data/000000/%06d.jpg": (0, 12, ""),
        "data/000001/%06d.jpg": (0, 4, ""),  # as many as the table says
    }
    shown = " ".join(capsys.readouterr().out.split())
    assert "recognised: VIP's table (path,len); 2 of %06d.jpg from 0" in shown
    assert main(["manifest", "check", str(out), "--workers", "1"]) == 0


def test_r3ms_table_counts_from_1(tmp_path, capsys):
    """The folders lie elsewhere; one holds fewer frames than the table says, one is named twice."""
    for name in ("000000", "000001"):
        write_pictures(tmp_path / "clips" / name, "%06d.jpg", range(1, 6))
    rows = [
        {"": 0, "path": f"{tmp_path}/clips/000000/", "len": 5, "txt": "C stirs food"},
        {"": 1, "path": f"{tmp_path}/clips/000001/", "len": "9.0", "txt": ""},
        {"": 2, "path": f"{tmp_path}/clips/000000/", "len": 3, "txt": "C stirs"},
    ]
    table = write_table(tmp_path / "tables" / "r3m.csv", rows)
    out = tmp_path / "m.csv"
    assert build(table, out) == 0
    clips = {clip.clip_id: clip for clip in read_manifest(out)}
    assert {key: (c.start_frame, c.end_frame, c.label) for key, c in clips.items()} == {
        "000000": (1, 6, "C stirs food"),
        "000001": (1, 6, ""),
        "000000#2": (1, 4, "C stirs"),
    }
    assert clips["000000"].split == clips["000000#2"].split
    assert read_manifest(out).root == tmp_path / "clips"
    shown = " ".join(capsys.readouterr().out.split())
    assert "R3M's table (path,len,txt); 3 of %06d.jpg from 1" in shown
    assert "1 shorter than they should be" in shown
    assert "the table says 9 frames, the folder holds 5" in shown


def test_livs_table_with_relative_folders(tmp_path, capsys, monkeypatch):
    write_pictures(tmp_path / "traj0", "%d.png", range(11))
    row = {"": 0, "index": 0, "directory": "traj0/", "num_frames": 11, "text": "close the drawer"}
    table = write_table(tmp_path / "liv.csv", [row])
    out = tmp_path / "m.csv"
    monkeypatch.chdir(tmp_path.parent)
    assert build(table.relative_to(tmp_path.parent), out) == 0
    assert spans(out) == {"traj0/%d.png": (0, 11, "close the drawer")}
    assert "LIV's table" in capsys.readouterr().out


def test_folders_of_pictures(tmp_path, capsys):
    """Any names, however deep; what is no sequence is left out and listed."""
    data = tmp_path / "data"
    write_pictures(data / "video0", "%d.png", range(12))
    write_pictures(data / "video10", "%d.png", range(12))
    write_pictures(data / "video2", "%d.png", range(12))
    write_pictures(data / "3" / "rgb", "frame_%04d.jpg", range(10, 40, 2))
    write_pictures(data / "short", "%d.png", range(2))
    write_pictures(data / "gap", "%d.png", [0, 1, 2, 4])
    write_pictures(data / "broken", "%d.png", range(4))
    (data / "broken" / "0.png").write_text("not a picture")
    out = tmp_path / "m.parquet"
    assert build(data, out) == 0
    clips = list(read_manifest(out))
    assert [clip.clip_id for clip in clips] == ["3/rgb", "video0", "video2", "video10"]
    assert (clips[0].start_frame, clips[0].end_frame, clips[0].stride) == (10, 39, 2)
    assert clips[0].num_frames == 15
    with (tmp_path / "m.unreadable.csv").open() as file:
        reasons = {row["path"]: row["reason"] for row in csv.DictReader(file)}
    assert sorted(reasons) == ["broken", "gap", "short"]
    assert "3.png: the picture does not exist" in reasons["gap"]
    shown = " ".join(capsys.readouterr().out.split())
    assert "folders of frames; 3 of %d.png from 0, 1 of frame_%04d.jpg from 10" in shown
    (data / "video0" / "5.png").unlink()
    assert main(["manifest", "check", str(out), "--workers", "1"]) == 2
    assert "lacks 5.png" in capsys.readouterr().out


@pytest.mark.parametrize("allowed", [False, True])
def test_folders_that_are_not_there(tmp_path, capsys, allowed):
    write_pictures(tmp_path / "b", "%06d.jpg", range(5))
    rows = [{"path": f"{tmp_path}/{name}/", "len": 5} for name in "cba"]
    write_table(tmp_path / "manifest.csv", rows)
    out = tmp_path / "m.csv"
    assert build(tmp_path, out, *["--allow-missing"] * allowed) == (0 if allowed else 2)
    if allowed:
        assert list(spans(out)) == ["b/%06d.jpg"]
        assert "2 of 3 files are missing, the first is a: left out" in capsys.readouterr().out
    else:
        assert f"2 of 3 files are not in {tmp_path}, the first is a:" in last_error(capsys)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: None, "there is no folder"),
        (
            lambda d: (d / "x").mkdir(parents=True),
            "is not laid out as frames: looked for manifest.csv",
        ),
        (lambda d: write_table(d / "manifest.csv", [{"file": 1}]), "looked for R3M's table"),
        (
            lambda d: write_table(d / "manifest.csv", [{"path": "a/", "len": "many"}]),
            "manifest.csv, row 1: column len: 'many', expected a number of frames",
        ),
        (lambda d: write_pictures(d / "a", "%d.png", range(2)), "gives no clip: 1 unreadable"),
    ],
)
def test_what_is_no_data_set(tmp_path, capsys, make, message):
    make(tmp_path / "data")
    assert build(tmp_path / "data", tmp_path / "m.csv") == 2
    assert message in last_error(capsys)


def test_folders_that_have_been_moved(tmp_path, capsys):
    """A table of another machine, and a root above the folders."""
    write_pictures(tmp_path / "new" / "clips" / "000000", "%06d.jpg", range(5))
    table = write_table(tmp_path / "manifest.csv", [{"path": "/data/x/000000/", "len": 5}])
    out = tmp_path / "m.csv"
    assert build(table, out) == 2
    error = last_error(capsys)
    assert "1 of 1 files are not in /data/x, the first is 000000: say where they lie by" in error
    assert build(table, out, "--root", str(tmp_path / "new" / "clips")) == 0
    assert list(spans(out)) == ["000000/%06d.jpg"]
    write_table(table, [{"path": f"{tmp_path}/new/clips/000000/", "len": 5}])
    assert build(table, out, "--root", str(tmp_path / "new")) == 0
    assert list(spans(out)) == ["clips/000000/%06d.jpg"]


def test_training_and_curves_on_pictures(tmp_path):
    """Frames from 1, every second one; a picture that is broken is a bad clip like any other."""
    for seed in range(4):
        write_pictures(tmp_path / "data" / f"v{seed}", "%06d.jpg", range(1, 24, 2), seed=seed)
    out = tmp_path / "m.parquet"
    assert build(tmp_path / "data", out, "--val-fraction", "0.3") == 0
    trained_on = sorted(clip.clip_id for clip in read_manifest(out).only("train"))
    for number in range(1, 24, 2):
        (tmp_path / "data" / trained_on[0] / f"{number:06d}.jpg").write_text("not a picture")
    run = tmp_path / "run"
    arguments = [
        f"data.manifest={out}", f"run_dir={run}", "model.encoder.backbone=test_resnet",
        "model.encoder.image_size=32", "data.batch_size=2", "data.num_workers=0",
        "trainer.max_steps=4", "trainer.val_check_interval=2", "data.max_failure_rate=0.9",
        "trainer.accelerator=cpu", "trainer.precision=32-true",
    ]  # fmt: skip
    assert main(["fit", "--config", str(CONFIG), *arguments]) == 0
    with (run / "bad_clips.csv").open() as file:
        bad = list(csv.DictReader(file))
    assert {row["clip_id"] for row in bad} == {trained_on[0]}
    assert "not a picture that can be read" in bad[0]["reason"]
    curves = tmp_path / "curves"
    assert main(["curves", str(out), "--encoder", str(run / "encoder"), "--out", str(curves)]) == 0
    with (curves / "table.csv").open() as file:
        assert {row["frames"] for row in csv.DictReader(file)} == {"12"}
