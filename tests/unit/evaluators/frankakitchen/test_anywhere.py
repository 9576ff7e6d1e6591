"""Clips that begin anywhere: what they follow, where they begin, and what a seed fixes."""

import hashlib
from types import SimpleNamespace

import numpy as np
import pytest

from vipl.cli import main
from vipl.errors import UserError
from vipl.evaluation.evaluator import Cell
from vipl.evaluation.results import Record, write_states
from vipl_evaluators.frankakitchen import anywhere_clips
from vipl_evaluators.frankakitchen.anywhere import BEGINNINGS, Anywhere, Shares
from vipl_evaluators.frankakitchen.anywhere_clips import Job, make_clip, read_visited
from vipl_evaluators.frankakitchen.demonstrations import load_index, write_index
from vipl_evaluators.frankakitchen.environment import KitchenEnv
from vipl_evaluators.frankakitchen.placement import knock, others_moved
from vipl_evaluators.frankakitchen.tasks import TASKS

TASK = "sdoor_open"
NUMBER = 6


@pytest.fixture(scope="module")
def maker():
    return Anywhere(KitchenEnv(TASKS[TASK], image_size=16))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("anywhere")
    for index in range(NUMBER):
        job = Job(TASK, index, 0, out / TASK / f"anywhere_{index:02d}.npz")
        solved, tries = make_clip(job)
        assert solved
        assert tries >= 1
    write_index(out)
    return out


def hashes(folder):
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.npz")
    }


@pytest.mark.parametrize("task", TASKS)
def test_only_training_demonstrations_are_followed(task):
    followed = Anywhere(SimpleNamespace(task=TASKS[task])).followed
    assert len(followed) >= 3
    assert {demo.task_name for demo in followed} == {task}
    assert {(demo.kind, demo.split) for demo in followed} == {("start", "train")}


def test_clips_replay_and_end_as_a_followed_demonstration_does(made, maker):
    demos = load_index(made)
    assert [demo.split for demo in demos] == ["train"] * 3 + ["val"] + ["train"] * 2
    ends = [demo.arrays["qpos"][-1, :7] for demo in maker.followed]
    for demo in demos:
        arrays = demo.arrays
        start = maker.env.state(arrays["qpos"][0], arrays["qvel"][0])
        states = maker.env.rollout(start, arrays["action"][None])[0]
        assert np.array_equal(maker.env.qpos(states), arrays["qpos"][1:])
        assert demo.ends_solved
        assert min(np.abs(end - arrays["qpos"][-1, :7]).max() for end in ends) < 0.25
        assert (demo.kind, demo.samples) == ("anywhere", 0)
    begins = np.array([demo.arrays["qpos"][0, :7] for demo in demos])
    assert np.abs(begins[1:] - begins[0]).max(axis=1).min() > 0.02  # two at the usual start


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_beginnings_are_where_they_say(maker, beginning):
    state = Anywhere(maker.env, shares=Shares(knocked=0)).begin(beginning, np.random.default_rng(0))
    task, qpos = TASKS[TASK], maker.env.qpos(state)
    left = (qpos[task.qpos_index] - task.goal) / (task.start - task.goal)
    least, most = beginning.left
    assert least - 0.04 <= left <= most + 0.04
    assert bool(maker.env.is_success(state)) == (most == 0 or left < 0.15)
    from_home = np.abs(qpos[:7] - maker.env.start_qpos()[:7]).max()
    assert (from_home < 0.15) == (beginning.arm == "start")


def test_in_half_of_the_beginnings_other_things_have_been_moved(maker):
    rng = np.random.default_rng(3)
    states = np.array([maker.begin(BEGINNINGS[0], rng) for _ in range(16)])
    moved = others_moved(maker.env, states).max(axis=1) > 0.02
    assert 4 <= moved.sum() <= 12


@pytest.mark.parametrize("seed", range(4))
def test_what_is_knocked_is_one_or_two_other_things_within_their_limits(maker, seed):
    env, usual = maker.env, maker.env.start_qpos()
    qpos = knock(env, np.random.default_rng(seed))
    changed = np.flatnonzero(qpos != usual)
    kettle = [place for place in changed if place >= 23]
    assert 25 not in kettle  # it stands
    assert np.abs(qpos - usual)[23:25].max() <= 0.3
    assert np.linalg.norm(qpos[26:]) == pytest.approx(1)
    doors = [place for place in changed if place in env.movable_joints()]
    assert 1 <= len(doors) + bool(kettle) <= 2
    assert env.task.qpos_index not in changed
    assert changed.min() >= 9  # the robot stays
    for place in doors:
        low, high = env.limits(place)
        assert low <= qpos[place] <= high
    for leader, follower, factor in env._couplings:
        assert qpos[follower] == pytest.approx(qpos[leader] / factor)


def test_nothing_is_moved_where_no_share_is_asked_for(maker):
    calm, rng = Anywhere(maker.env, shares=Shares(knocked=0)), np.random.default_rng(3)
    states = np.array([calm.begin(BEGINNINGS[0], rng) for _ in range(6)])
    assert others_moved(maker.env, states).max() < 0.02


def test_arms_that_are_not_at_the_start_may_be_far_from_every_pose(maker):
    near = Anywhere(maker.env, shares=Shares(knocked=0))
    far = Anywhere(maker.env, shares=Shares(knocked=0, far=1))
    poses = np.concatenate([demo.arrays["qpos"][:, :7] for demo in maker.followed])
    end = next(beginning for beginning in BEGINNINGS if beginning.arm == "end")

    def off(maker, beginning):
        """Return how far the nearest pose is: the joint that is farthest off, in radians."""
        states = [maker.begin(beginning, np.random.default_rng(seed)) for seed in range(8)]
        arms = maker.env.qpos(np.array([state for state in states if state is not None]))[:, :7]
        return np.abs(arms[:, None] - poses).max(axis=2).min(axis=1)

    assert np.median(off(near, end)) < 0.3
    assert np.median(off(far, end)) > 0.5
    assert off(far, BEGINNINGS[0]).max() < 0.2, "the usual start stays what it is"


def test_shares_are_of_one():
    assert sum(beginning.share for beginning in BEGINNINGS) == pytest.approx(1)


def test_the_command_makes_the_same_bytes_with_any_number_and_workers(made, tmp_path, capsys):
    command = ["demos", "generate", "--quality", "anywhere", "--tasks", TASK, "--out"]
    extra = ["--number", "5", "--seed", "0", "--workers", "2"]
    assert main([*command, str(tmp_path), *extra]) == 0
    shown = capsys.readouterr().out
    assert f"{TASK}: 5 of 5 clips, in " in shown
    assert "index.json: 5 trajectories" in shown
    expected = hashes(made)
    del expected[f"anywhere_{NUMBER - 1:02d}.npz"]
    assert hashes(tmp_path) == expected


def test_half_begin_where_a_planner_went(maker, tmp_path):
    """States that it came by, of the task and of the encoder under test."""
    cells = [
        Cell(TASK, "left_cam", 0, "trajopt"),
        Cell(TASK, "left_cam", 1, "trajopt", "oracle"),
        Cell("rdoor_open", "left_cam", 0, "trajopt"),
    ]
    rng = np.random.default_rng(0)
    for number, cell in enumerate(cells):
        actions = rng.uniform(-1, 1, (1, 20 + number, maker.env.action_size))
        write_states(tmp_path, cell, maker.env.rollout(maker.env.start_state(), actions)[0])
        with (tmp_path / "records.jsonl").open("a") as stream:
            stream.write(Record(**vars(cell), key=str(number)).to_line())
    visited = read_visited([tmp_path], TASK, maker.env.state_size)
    assert visited.shape == (20, maker.env.state_size)
    astray = Anywhere(maker.env, visited)
    poses = {maker.env.qpos(state).tobytes() for state in visited}
    begun = [astray._draw_start(np.random.default_rng(seed)) for seed in range(30)]
    there = [state is not None and maker.env.qpos(state).tobytes() in poses for state in begun]
    assert 8 <= sum(there) <= 22
    output = tmp_path / "clip.npz"
    assert make_clip(Job(TASK, 0, 0, output, (tmp_path,)))[0]
    with pytest.raises(UserError, match="not those of the kitchen"):
        read_visited([tmp_path], TASK, 7)


def test_ways_lead_from_where_one_is_to_where_the_task_is_solved(maker):
    start = maker.env.start_state()
    ways = maker.ways(start, np.random.default_rng(0))
    assert 1 <= len(ways) <= len(maker.followed)
    for states, actions in ways:
        np.testing.assert_array_equal(states[0], start)
        assert len(states) == len(actions) + 1
        assert maker.env.is_success(states[-1])


def test_another_seed_makes_others(made, tmp_path):
    path = tmp_path / TASK / "anywhere_00.npz"
    make_clip(Job(TASK, 0, 1, path))
    assert hashes(tmp_path)[path.name] != hashes(made)[path.name]


def test_a_clip_that_no_try_solves_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(Anywhere, "attempt", lambda self, rng: None)
    path = tmp_path / "anywhere_00.npz"
    path.touch()  # of another seed
    assert make_clip(Job(TASK, 0, 0, path)) == (False, 25)
    assert not path.exists()


def test_a_task_that_is_never_solved_is_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        anywhere_clips, "run_jobs", lambda run, jobs, **_: [(job, (False, 25)) for job in jobs]
    )
    command = [
        "demos",
        "generate",
        "--quality",
        "anywhere",
        "--tasks",
        TASK,
        "--out",
        str(tmp_path),
    ]
    assert main(command) == 2
    message = capsys.readouterr().err
    assert "never solved sdoor_open in 100 tries: leave it out of --tasks, or plan" in message
    assert "Traceback" not in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seed", "3"], "--seed is of --quality"),
        (["--quality", "anywhere", "--seed", "-1"], "--seed is -1, expected 0 or more"),
        (["--quality", "anywhere", "--workers", "0"], "--workers is 0, expected 1 or more"),
        (["--visited", "x"], "--visited is of --quality anywhere"),
        (["--knocked", "1"], "--knocked is of --quality anywhere"),
        (["--quality", "noisy", "--knocked", "1"], "--knocked is of --quality anywhere, not of"),
        (["--quality", "anywhere", "--knocked", "2"], "--knocked is 2, expected a share from 0 to"),
        (["--first", "1"], "--first is of --quality anywhere"),
        (["--quality", "mixed", "--first", "1"], "--first is of --quality anywhere, not of"),
        (["--quality", "anywhere", "--first", "-1"], "--first is -1, expected 0 or more"),
        (["--far", "1"], "--far is of --quality anywhere"),
        (["--quality", "noisy", "--far", "1"], "--far is of --quality anywhere, not of"),
        (["--quality", "anywhere", "--far", "-1"], "--far is -1, expected a share from 0 to"),
        (["--quality", "mixed", "--visited", "x"], "--visited is of --quality anywhere, not of"),
        (["--quality", "anywhere", "--visited", "x"], "x holds no states of sdoor_open"),
        (["--quality", "anywere"], "there is no quality 'anywere': expected anywhere"),
    ],
)
def test_mistakes(tmp_path, capsys, arguments, message):
    assert main(["demos", "generate", "--out", str(tmp_path), "--tasks", TASK, *arguments]) == 2
    assert message in capsys.readouterr().err
