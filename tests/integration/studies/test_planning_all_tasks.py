"""The program that trains an encoder for each task and camera, and plans with all of them."""

import json
import subprocess
import sys

import pytest

from tests import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.usefixtures("opengl")]

PROGRAM = [sys.executable, "-m", "studies.planning_all_tasks.all_tasks"]
SHORT = [
    "--tasks", "sdoor_open", "sdoor_close", "--third", "2",
    "--clips", "4", "--steps", "4", "--samples", "2", "trainer.precision=32-true",
    "trainer.max_steps=2", "trainer.val_check_interval=2", "data.val_clips=1",
]  # fmt: skip


def run(out, *arguments):
    done = subprocess.run(
        [*PROGRAM, "--out", str(out), *SHORT, *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])["results"], done.stdout


def test_rounds_go_on_from_each_other_and_nothing_is_done_twice(tmp_path):
    first, _ = run(tmp_path, "--seeds", "0")
    assert list(first) == ["round 0"]
    assert list(first["round 0"]["pairs"]) == ["sdoor_open-left_cam", "sdoor_close-right_cam"]
    assert first["round 0"]["episodes"] == 2
    encoder = tmp_path / "round0" / "runs" / "sdoor_open-left_cam" / "encoder" / "model.safetensors"
    made = encoder.stat().st_mtime_ns
    both, shown = run(tmp_path, "--seeds", "0", "--rounds", "1")
    assert both["round 0"] == first["round 0"]
    assert encoder.stat().st_mtime_ns == made
    assert "round 0 " not in shown  # no training of it
    assert "round 1 sdoor_open-left_cam: drawn in" in shown
    assert both["round 1"]["episodes"] == 2
    command = (tmp_path / "round1" / "logs" / "sdoor_open-left_cam.txt").read_text()
    assert "--visited" in command
    assert "round0-left_cam" in command


def test_rounds_that_accumulate_add_clips_and_train_on(tmp_path):
    short = ["--tasks", "sdoor_open", "--seeds", "0", "--new-clips", "2"]
    results, shown = run(tmp_path, *short, "--rounds", "2", "--accumulate")
    name = "sdoor_open-left_cam"
    assert results["up to 2 rounds"]["pairs"][name]["episodes"] == 1
    assert f"{name}: 2 rounds" in shown
    states = [
        {path.name: path.stat().st_mtime_ns for path in folder.glob("sdoor_open/*.npz")}
        for folder in (
            tmp_path / "round0" / "states" / "sdoor_open",
            *(tmp_path / f"round{number}" / "states" / name for number in (1, 2)),
        )
    ]
    assert [len(files) for files in states] == [4, 6, 8]
    assert states[1].items() <= states[2].items()
    weights = [
        (tmp_path / place / "runs" / name / encoder / "model.safetensors").read_bytes()
        for place, encoder in (("round1", "encoder"), ("round2", "encoder_initial"))
    ]
    assert weights[0] == weights[1]
    log = (tmp_path / "round2" / "logs" / f"{name}.txt").read_text()
    assert "round1-left_cam-sdoor_open-seeds-1002-1003" in log  # not the seeds that count
    shown_again = run(tmp_path, *short, "--rounds", "2", "--accumulate")[1]
    assert "drawn in" in shown
    assert "drawn in" not in shown_again


def test_another_training_is_another_draw_on_the_same_clips(tmp_path):
    short = ["--tasks", "sdoor_open", "--seeds", "0", "--accumulate", "--choose", "2"]
    results, shown = run(tmp_path, *short)
    name = "sdoor_open-left_cam"
    assert results["up to 0 rounds"]["pairs"][name]["episodes"] == 1
    assert "2 encoders made" in shown
    assert [path.name for path in (tmp_path / "round0" / "clips").iterdir()] == [name]
    first, second = (
        (tmp_path / "round0" / "runs" / run / "encoder" / "model.safetensors").read_bytes()
        for run in (name, f"{name}-training1")
    )
    assert first != second
    # killed before its end, a training goes on: its encoder is there from the first validation on
    (tmp_path / "round0" / "runs" / f"{name}-training1" / "spent.txt").unlink()
    shown_again = run(tmp_path, *short)[1]
    assert f"round 0 {name}-training1: drawn in" in shown_again
    assert f"round 0 {name}: drawn in" not in shown_again


def test_tasks_of_a_camera_may_share_an_encoder(tmp_path):
    short = ["--third", "0", "--tasks", "rdoor_open", "light_off", "--seeds", "0"]
    rounds = ["--rounds", "1", "--accumulate", "--new-clips", "1"]
    results, _ = run(tmp_path, *short, "--together", *rounds)
    assert list(results["up to 1 rounds"]["pairs"]) == ["rdoor_open-default", "light_off-default"]
    shared = "rdoor_open-light_off-default"
    assert [path.name for path in (tmp_path / "round1" / "runs").iterdir()] == [shared]
    states = tmp_path / "round1" / "states" / shared
    assert {folder.name: len(list(folder.glob("*.npz"))) for folder in states.glob("*_o*/")} == {
        "rdoor_open": 5, "light_off": 5,
    }  # fmt: skip
