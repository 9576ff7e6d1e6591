"""The suite `metaworld`: its physics, rewards, success and pictures are the package's."""

import importlib.util
import warnings
from collections.abc import Iterator
from typing import Any

import mujoco
import numpy as np
import pytest

from vipl.control.environment import Floats
from vipl.errors import UserError
from vipl.evaluation.evaluator import IMITATION, ORACLE, Cell
from vipl.evaluation.protocols.dataset import Dataset
from vipl.evaluation.protocols.policy_learning import CloningSettings
from vipl_evaluators.metaworld.environment import SawyerEnv
from vipl_evaluators.metaworld.evaluator import MetaWorld
from vipl_evaluators.metaworld.scene import CAMERAS
from vipl_evaluators.metaworld.script import make_guide
from vipl_evaluators.metaworld.tasks import TASKS, Task

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("metaworld") is None,
    reason="MetaWorld is not installed: pip install 'vipl[metaworld]'",
)
SIZE = 48


@pytest.fixture(params=list(TASKS))
def env(request: pytest.FixtureRequest) -> Iterator[SawyerEnv]:
    made = SawyerEnv(TASKS[request.param], image_size=SIZE)
    yield made
    made.close()


@pytest.fixture
def drawer() -> Iterator[SawyerEnv]:
    made = SawyerEnv(TASKS["drawer_open"], image_size=SIZE)
    yield made
    made.close()


def packages_own(task: Task, place: Floats) -> Any:
    """The package's environment with the task's thing in a place, reset."""
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS

    drawn = {
        "assembly": np.array([0, 0.6, 0.02, *place[:2], place[2] + 0.05]),
        "bin_picking": np.concatenate([place, [0.12, 0.7, 0]]),
    }
    theirs = ALL_V3_ENVIRONMENTS[task.package_name]()
    theirs._set_task_called = True
    theirs._freeze_rand_vec, theirs._last_rand_vec = True, drawn.get(task.name, place)
    theirs._partially_observable = False
    theirs.__dict__.pop("sawyer_observation_space", None)  # its bounds cut the goal to zero
    return theirs


def tie_hand(theirs: Any) -> None:
    """Do what their `reset_mocap_welds` does: it writes 11 numbers, and mujoco 4.0 wants 12."""
    welds = theirs.model.eq_type == mujoco.mjtEq.mjEQ_WELD
    theirs.model.eq_data[welds] = 0
    theirs.model.eq_data[welds, :11] = (0, 0, 0, 0, 0, 0, -1, 0, 0, 0, 5)


def with_their_state(env: SawyerEnv, theirs: Any, ours: Floats) -> Floats:
    """Our state with the joints' positions and velocities of the package's."""
    state = ours.copy()
    env.qpos(state)[:], env.qvel(state)[:] = theirs.data.qpos, theirs.data.qvel
    return state


@pytest.mark.parametrize("where", ["usual", "elsewhere"])
def test_a_script_does_the_same_in_both_environments(
    env: SawyerEnv, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import metaworld.policies
    from metaworld.sawyer_xyz_env import SawyerMocapBase

    monkeypatch.setattr(SawyerMocapBase, "reset_mocap_welds", tie_hand)
    task = env.task
    elsewhere = 0.3 * np.array(task.low) + 0.7 * np.array(task.high)
    place = np.array(task.usual) if where == "usual" else elsewhere
    theirs = packages_own(task, place)
    seen, _ = theirs.reset()
    state = env.start_at(place)
    np.testing.assert_allclose(env.qpos(state), theirs.data.qpos, atol=1e-5)
    policy = getattr(metaworld.policies, task.script)()
    solved = False
    for _ in range(130):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            action = np.clip(policy.get_action(seen), -1, 1).astype(np.float64)
        seen, reward, _, _, info = theirs.step(action)
        state = env.step(state[None], action[None])[0]
        solved = bool(info["success"])
        assert env.is_success(state) == solved
        same = with_their_state(env, theirs, state)
        if where == "usual":  # elsewhere, margins are not those of the usual start
            assert env.true_reward(same) == pytest.approx(reward, abs=2e-3)
        np.testing.assert_allclose(env.observe(same)[:18], seen[:18], atol=1e-6)
        np.testing.assert_allclose(env.observe(same)[-3:], seen[-3:], atol=1e-6)
    assert solved
    # Contacts make differences of rounding grow; after 1.6 s they are still below 6 mm or mrad.
    np.testing.assert_allclose(env.qpos(state), theirs.data.qpos, atol=6e-3)


def test_the_goal_solves_the_task(env: SawyerEnv) -> None:
    goal = MetaWorld(image_size=SIZE).goal(env.task.name, env)
    solved = env.is_success(goal.states)
    assert solved[-1]
    assert not solved[0]
    np.testing.assert_array_equal(goal.states[0], env.start_state())
    errors = env.pose_errors(goal.states, goal.states[-1])
    assert errors["object_error"][0] > 0.05
    assert {name: values[-1] for name, values in errors.items()} == {
        "object_error": 0,
        "hand_error": 0,
    }


def test_errors_are_seen_from_the_target(drawer: SawyerEnv) -> None:
    guide = make_guide(drawer)
    (one, _), (other, _) = (guide.follow(np.random.default_rng(seed)) for seed in range(2))
    apart = drawer.pose_errors(one[-1:], other[-1])["object_error"]
    assert apart < 0.01
    assert np.ptp([drawer.scene(way[-1]).thing[0] for way in (one, other)]) > 0.02


def test_starts_are_where_the_package_may_put_things(env: SawyerEnv) -> None:
    task = env.task
    starts = env.start_states(5, np.random.default_rng(0))
    places = env.measure(starts, lambda data: data.body(task.thing).xpos)
    assert len(np.unique(places[:, 0])) == 5
    assert (places >= np.array(task.low) - 1e-9).all()
    assert (places <= np.array(task.high) + 1e-9).all()
    assert not env.is_success(starts).any()
    again = env.start_states(5, np.random.default_rng(0))
    np.testing.assert_array_equal(starts, again)


def test_plans_do_not_depend_on_each_other(drawer: SawyerEnv) -> None:
    """Above all not by where the drawer and the hand's leader are."""
    starts = drawer.start_states(3, np.random.default_rng(1))
    actions = np.random.default_rng(2).uniform(-1, 1, size=(3, 4))
    together = drawer.step(starts, actions)
    for start, action, state in zip(starts, actions, together, strict=True):
        np.testing.assert_array_equal(drawer.rollout(start, action[None, None])[0, 0], state)
    drawers = drawer.measure(together, lambda data: data.body("drawer").xpos)
    assert len(np.unique(drawers[:, 0])) == 3


def test_the_hand_stays_within_its_space(drawer: SawyerEnv) -> None:
    down = np.tile([0, 0, -1, 0], (1, 40, 1)).astype(np.float64)
    states = drawer.rollout(drawer.start_state(), down)[0]
    leader = drawer.measure(states, lambda data: data.body("mocap").xpos)
    assert leader[-1, 2] == pytest.approx(TASKS["drawer_open"].hand_low[2])


@pytest.mark.parametrize(("quality", "solved"), [("expert", 3), ("mixed", 1)])
def test_trajectories(drawer: SawyerEnv, quality: str, solved: int) -> None:
    asked = Dataset(trajectories=3, quality=quality)
    made = MetaWorld(image_size=SIZE).make_trajectories("drawer_open", drawer, asked)
    assert sum(trajectory.success[-1] for trajectory in made) == solved
    for trajectory in made:
        assert trajectory.proprioception.shape == (len(trajectory.actions) + 1, 4)
        assert trajectory.observations is not None
        assert trajectory.observations.shape[1] == 39
        assert np.abs(trajectory.actions).max() <= 1


def test_an_unknown_quality(drawer: SawyerEnv) -> None:
    with pytest.raises(UserError, match=r"exprt.*expert"):
        MetaWorld().make_trajectories("drawer_open", drawer, Dataset(quality="exprt"))


@pytest.mark.usefixtures("opengl")
def test_pictures(drawer: SawyerEnv) -> None:
    starts = drawer.start_states(2, np.random.default_rng(0))
    shown = np.array([drawer.render(starts, camera) for camera in CAMERAS])
    assert shown.shape == (len(CAMERAS), 2, SIZE, SIZE, 3)
    for one, other in [(0, 1), (0, 2), (1, 2)]:  # cameras differ
        assert np.abs(shown[one, 0].astype(int) - shown[other, 0]).mean() > 5
    assert ((shown[:, 0] != shown[:, 1]).mean(axis=(1, 2, 3)) > 0.01).all()  # places do


def test_a_policy_learns_from_the_state() -> None:
    """End to end by the protocol of the study, with the state in the encoder's place."""
    suite = MetaWorld(image_size=SIZE, steps=100)
    asked = Dataset(trajectories=6, quality="expert")
    cloning = CloningSettings(steps=1000, evaluate_every=1000, episodes=4, dataset=asked)
    suite.settings = {IMITATION: cloning}
    cell = Cell("drawer_open", "left_cap2", 0, IMITATION, ORACLE)
    outcome = suite.run_cell(cell, None, np.random.default_rng(0))
    assert outcome.metrics["best_success"] >= 0.5
