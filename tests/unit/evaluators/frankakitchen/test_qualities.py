"""Trajectories of mixed quality: who solves what, whether they replay, and their files."""

import json

import numpy as np
import pytest

from vipl.cli import main
from vipl_evaluators.frankakitchen.demonstrations import load_index
from vipl_evaluators.frankakitchen.environment import KitchenEnv
from vipl_evaluators.frankakitchen.qualities import KitchenGuide
from vipl_evaluators.frankakitchen.tasks import TASKS
from vipl_evaluators.qualities import QUALITIES, make_trajectories


@pytest.fixture(scope="module", params=["rdoor_close", "micro_open", "knob1_on"])
def env(request):
    return KitchenEnv(TASKS[request.param], image_size=16)


def test_a_third_of_the_mixed_ones_solves_the_task(env):
    made = make_trajectories(KitchenGuide(env), "mixed", 6, task=env.task.name)
    assert [name for name, *_ in made] == [
        "expert_00", "half_01", "wandering_02", "expert_03", "half_04", "wandering_05",
    ]  # fmt: skip
    solved = [bool(env.is_success(states[-1])) for _, states, _ in made]
    assert solved == [True, False, False, True, False, False]
    for _, states, actions in made:
        assert len(states) == len(actions) + 1
        assert np.abs(actions).max() <= 1
        assert np.array_equal(env.rollout(states[0], actions[None])[0], states[1:])
    starts = np.array([states[0] for _, states, _ in made])
    assert np.abs(starts[1:] - starts[0]).max() > 0.01


def test_half_of_one_begins_as_an_expert_does():
    env = KitchenEnv(TASKS["rdoor_close"], image_size=16)
    half = [
        way
        for name, *way in make_trajectories(KitchenGuide(env), "mixed", 12, task=env.task.name)
        if name.startswith("half")
    ]
    moved = [env.hand_to_handle(states)[[0, len(states) // 3]] for states, _ in half]
    assert np.mean([after < before for before, after in moved]) > 0.5


def test_same_seed_same_trajectories():
    env = KitchenEnv(TASKS["rdoor_close"], image_size=16)
    first, again = (
        make_trajectories(KitchenGuide(env), "noisy", 2, task=env.task.name) for _ in range(2)
    )
    for (_, states, _), (_, others, _) in zip(first, again, strict=True):
        assert np.array_equal(states, others)
    (_, other, _), *_ = make_trajectories(KitchenGuide(env), "noisy", 1, task=env.task.name, seed=1)
    assert not np.array_equal(other[0], first[0][1][0])


@pytest.mark.parametrize("quality", QUALITIES)
def test_files(tmp_path, capsys, quality):
    command = ["demos", "generate", "--quality", quality, "--tasks", "rdoor_close"]
    assert main([*command, "--number", "3", "--out", str(tmp_path)]) == 0
    assert "3 trajectories" in capsys.readouterr().out
    demos = load_index(tmp_path)
    assert len(demos) == 3
    for demo in demos:
        assert demo.frames == len(demo.arrays["qpos"]) == len(demo.arrays["action"]) + 1
        assert (demo.first_success is not None) >= demo.ends_solved
    if quality == "expert":
        assert all(demo.ends_solved for demo in demos)
    entries = json.loads((tmp_path / "index.json").read_text())
    assert [entry["samples"] for entry in entries] == [0, 0, 0]


def test_mistakes(tmp_path, capsys):
    command = ["demos", "generate", "--out", str(tmp_path), "--tasks", "rdoor_close"]
    assert main([*command, "--quality", "mixde"]) == 2
    assert "there is no quality 'mixde': expected mixed" in capsys.readouterr().err
    assert main([*command, "--quality", "mixed", "--number", "0"]) == 2
    assert "--number is 0, expected 1 or more" in capsys.readouterr().err
