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


SEEN = {"trajopt": "planner", "offline_rl": "policy"}
CONTROLS = {"trajopt": "[oracle,random_goal]", "offline_rl": "[oracle]"}
SETTINGS = {
    "trajopt": {
        "then": "budgets=[2] planner.samples=4 planner.horizon_steps=3",
        "now": "budgets=[2] trajopt.samples=4 trajopt.horizon_steps=3",
    },
    "offline_rl": {
        "then": "policy.steps=6 policy.evaluate_every=3 policy.episodes=2 dataset.trajectories=3",
        "now": "offline_rl.steps=6 offline_rl.evaluate_every=3 offline_rl.episodes=2 "
        "offline_rl.dataset.trajectories=3",
    },
}


@pytest.mark.parametrize("protocol", SETTINGS)
@pytest.mark.parametrize("written", ["then", "now"])
def test_control_runs_go_on_by_keys_of_then_and_now(here, capsys, monkeypatch, protocol, written):
    folder = here / "evaluations/frankakitchen-v1" / protocol
    run = json.loads((folder / "run.json").read_text())
    for module in ("runner", "provenance"):
        monkeypatch.setattr(
            f"vipl.evaluation.running.{module}.installed_version", run["packages"].get
        )
    before = (folder / "records.jsonl").read_bytes()
    command = ["eval", "--suite", "frankakitchen", "--encoder", "random:resnet10t"]
    words = ["--protocol", protocol, "--workers", "0", "--out", "evaluations", "--run-id", protocol]
    words += ["tasks=[sdoor_open]", "cameras=[left_cam]", "seeds=[0]", "image_size=48", "steps=3"]
    words += [f"controls={CONTROLS[protocol]}", *SETTINGS[protocol][written].split()]
    assert main([*command, *words]) == 0
    shown = capsys.readouterr()
    count = len(before.splitlines())
    assert f"done before: {count} of {count} cells" in shown.out
    assert (folder / "records.jsonl").read_bytes() == before
    old, new = (f"{name}." for name in (SEEN[protocol], protocol))
    assert (f"{old}" in shown.err) == (written == "then")
    assert (f" is now {new}" in shown.err) == (written == "then")


def test_a_configuration_file_of_then_is_read(here, capsys):
    Path("old.yaml").write_text("suite: frankakitchen\nplanner: {samples: 5}\nonline: {steps: 9}\n")
    options = ["--config", "old.yaml", "--encoder", "oracle", "--print-config", "planner.samples=7"]
    assert main(["eval", *options]) == 0
    shown = capsys.readouterr()
    assert "\ntrajopt:\n  samples: 7\n  horizon_steps: 12\n" in shown.out
    assert "planner" not in shown.out
    assert shown.err.splitlines() == [
        "old.yaml: planner is now trajopt or gain: write that of your protocol",
        "old.yaml: online is now online_rl: write that",
        "planner.samples is now trajopt.samples or gain.samples: write that of your protocol",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("planner.sampels=7", "there is no key 'trajopt.sampels': did you mean trajopt.samples"),
        ("trajopt.samples=many", "trajopt.samples is 'many', expected a whole number"),
        ("trajopt.samples=0", "trajopt.samples is 0, expected 1 or more"),
        ("dataset.path=7 protocol=offline_rl tasks=[x]", "there is no task 'x'"),
        (
            "protocol=imitation imitation.dataset.trajectories=0",
            "imitation.dataset.trajectories is 0, expected 1 or more",
        ),
    ],
)
def test_refusals_name_the_keys_of_now(capsys, words, message):
    command = ["eval", "--suite", "frankakitchen", "--encoder", "oracle", *words.split()]
    assert main(command) == 2
    assert message in capsys.readouterr().err
