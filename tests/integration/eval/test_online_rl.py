"""`vipl eval protocol=online_rl`: what is kept, and what is reported."""

import json
from pathlib import Path

import pytest
import torch

from tests.fixtures.lines import Line
from vipl import save_encoder
from vipl.cli import main
from vipl.models.encoder import Encoder

pytest.importorskip("sb3_contrib")

SMALL = [
    "protocol=online_rl", "seeds=[0]", "cameras=[front]", "image_size=32", "steps=6", "--workers=0",
    "online_rl.environments=4", "online_rl.hidden=[8]", "online_rl.steps=192",
    "online_rl.evaluate_every=48", "online_rl.episodes=2", "online_rl.rollout_episodes=1",
    "--run-id=it",
]  # fmt: skip


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    torch.manual_seed(5)
    folder = tmp_path_factory.mktemp("encoder") / "e"
    return save_encoder(Encoder("resnet10t", output_dim=4, image_size=32), folder)


def evaluate(out: Path, encoder: object, *more: str) -> int:
    command = [
        "eval",
        "--suite",
        "tests.fixtures.lines:Lines",
        "--encoder",
        str(encoder),
        "--out",
        str(out),
    ]
    return main([*command, *SMALL, *more])


def folder_of(out: Path) -> Path:
    return out / "tests.fixtures.lines.Lines-v1/it"


def records(out: Path) -> list[dict]:
    lines = (folder_of(out) / "records.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_an_interrupted_training_goes_on(tmp_path, monkeypatch):
    assert evaluate(tmp_path / "whole", "oracle", "tasks=[left]") == 0
    step, taken = Line.step, []

    def interrupted(self, states, actions):
        taken.append(len(states))
        if len(taken) == 40:
            raise KeyboardInterrupt
        return step(self, states, actions)

    monkeypatch.setattr(Line, "step", interrupted)
    assert evaluate(tmp_path / "killed", "oracle", "tasks=[left]") == 130
    (kept,) = (folder_of(tmp_path / "killed") / "checkpoints").iterdir()
    done = len(torch.load(kept, weights_only=True)["progress"])
    assert 1 <= done <= 3
    assert not records(tmp_path / "killed")
    taken.clear()
    monkeypatch.setattr(Line, "step", lambda *given: taken.append(0) or step(*given))
    assert evaluate(tmp_path / "killed", "oracle", "tasks=[left]") == 0
    assert len(taken) == (4 - done) * (12 + 6)
    (whole,), (again,) = records(tmp_path / "whole"), records(tmp_path / "killed")
    for name in ("metrics", "traces", "info"):
        assert again[name] == whole[name]
    assert not kept.parent.exists()


def test_the_report_shows_how_policies_learnt(tmp_path, encoder):
    controls = "controls=[oracle,random,sparse_reward,true_reward]"
    assert evaluate(tmp_path, encoder, controls, "online_rl.steps=96", "tasks=[left]") == 0
    found = {record["variant"] for record in records(tmp_path)}
    assert found == {"main", "oracle", "random", "sparse_reward", "true_reward"}
    page = (folder_of(tmp_path) / "report.html").read_text()
    for text in (
        'id="learning"',
        "rewarded when solved",
        "rewarded by the ground-truth state",
        "48 steps",
    ):
        assert text in page
    assert "planning budget" not in page


def test_a_control_of_another_protocol_is_refused(tmp_path, encoder, capsys):
    assert evaluate(tmp_path, encoder, "controls=[sparse_reward]", "protocol=trajopt") == 2
    assert "the control sparse_reward goes with protocol=online_rl" in capsys.readouterr().err


def test_settings_of_other_protocols_do_not_matter(tmp_path, capsys):
    planned = ["protocol=trajopt", "tasks=[left]", "trajopt.samples=4"]
    assert evaluate(tmp_path, "oracle", *planned) == 0
    assert evaluate(tmp_path, "oracle", *planned, "online_rl.steps=7", "offline_rl.steps=7") == 0
    assert len(records(tmp_path)) == 1
    changed = [*planned, "offline_rl.dataset.trajectories=2", "--run-id=other"]
    assert evaluate(tmp_path, "oracle", *changed) == 0
    assert "(reused from it)" in capsys.readouterr().out
    assert evaluate(tmp_path, "oracle", *planned, "trajopt.samples=5") == 2
    assert "trajopt.samples is 4 there and 5 here" in capsys.readouterr().err
