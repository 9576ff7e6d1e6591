"""What version 0.1 wrote is read: a run, a checkpoint, a manifest, records.

tests/fixtures/kept/v0_1 was made by it: two steps on four small videos (weights rounded to 1/32,
so that they take little room), and an evaluation by the suite `videos`.
"""

import json
import shutil
from pathlib import Path

import pytest

from tests import ROOT
from vipl.cli import main

KEPT = ROOT / "tests/fixtures/kept" / "v0_1"
CHECKPOINT = "trained/checkpoints/step=2.ckpt"


@pytest.fixture
def here(tmp_path, monkeypatch):
    shutil.copytree(KEPT, tmp_path / "v", symlinks=True)
    monkeypatch.chdir(tmp_path / "v")
    return tmp_path / "v"


def records(folder: Path) -> list[dict]:
    found = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    return [{name: value for name, value in one.items() if name != "seconds"} for one in found]


def test_a_run_goes_on(here, capsys):
    resumed = ["ckpt_path=last", "trainer.max_steps=3", "data.num_workers=0"]
    assert main(["fit", "--config", "trained/config.yaml", *resumed]) == 0
    assert "going on after step 2 from " in capsys.readouterr().out
    assert (here / "trained/checkpoints/step=3.ckpt").is_file()
    assert (here / "trained/encoder/config.json").is_file()


def test_a_manifest_is_what_it_was(here, capsys):
    assert main(["manifest", "check", "manifest.parquet"]) == 0
    assert "4 clips" in capsys.readouterr().out


def evaluate(run_id: str, out: str) -> list[dict]:
    words = ["--run-id", run_id, "--out", out, "manifest=manifest.parquet", "controls=[]"]
    command = ["eval", "--suite", "videos", "--encoder", CHECKPOINT, "--workers", "0"]
    assert main([*command, *words]) == 0
    return records(Path(out) / "videos-v2" / run_id)


def test_records_are_the_same_and_are_taken_over(here, capsys):
    before = records(here / "evaluations/videos-v2/old")
    (afresh,) = evaluate("new", "elsewhere")
    (kept,) = before
    assert (afresh["key"], afresh["task"]) == (kept["key"], kept["task"])
    assert afresh["metrics"] == pytest.approx(kept["metrics"])
    assert afresh["traces"]["distance"] == pytest.approx(kept["traces"]["distance"], abs=1e-5)
    capsys.readouterr()
    assert evaluate("new", "evaluations") == before
    assert "(reused from old)" in capsys.readouterr().out


def test_evaluations_are_compared(here, capsys):
    evaluate("new", "evaluations")
    assert main(["compare", "evaluations/videos-v2/old", "evaluations/videos-v2/new"]) == 0
    assert "old" in capsys.readouterr().out
