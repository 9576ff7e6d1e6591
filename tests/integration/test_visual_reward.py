"""Visual rewards in Gymnasium: alone, vectorised, and in Stable-Baselines3."""

import functools

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from vipl import GoalReward, load_encoder
from vipl.errors import UserError
from vipl.gym import FreshRender, VectorVisualReward, VisualReward
from vipl.rewards import as_images

SIDE, LENGTH = 48, 6


class Dot(gymnasium.Env):
    """A bright dot on a line; actions move it left, leave it, or move it right."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(self, render_mode=None, pictures=False):
        self.render_mode = render_mode
        self.pictures = pictures
        self.action_space = gymnasium.spaces.Discrete(3)
        place = gymnasium.spaces.Box(0, SIDE, (1,), np.float32)
        picture = gymnasium.spaces.Box(0, 255, (SIDE, SIDE, 3), np.uint8)
        both = gymnasium.spaces.Dict({"place": place, "picture": picture})
        self.observation_space = both if pictures else place

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if options:
            raise ValueError(f"unknown options {options}")
        self.place, self.steps = float(self.np_random.integers(4, 12)), 0
        return self._observation(), {}

    def step(self, action):
        self.place = float(np.clip(self.place + 6 * (int(action) - 1), 0, SIDE - 6))
        self.steps += 1
        return self._observation(), -1.0, False, self.steps == LENGTH, {}

    def render(self):
        return draw(self.place)

    def _observation(self):
        place = np.array([self.place], np.float32)
        return {"place": place, "picture": draw(self.place)} if self.pictures else place


def draw(place):
    picture = np.full((SIDE, SIDE, 3), 40, np.uint8)
    picture[20:28, int(place) : int(place) + 6] = (250, 200, 30)
    return picture


GOAL = draw(40)
for name, pictures in (("Dot-v0", False), ("PictureDot-v0", True)):
    gymnasium.register(name, functools.partial(Dot, pictures=pictures))


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return load_encoder("random:resnet10t")


def expected(encoder, pictures, mode="difference", goal=GOAL):
    images = torch.from_numpy(np.stack(pictures)).movedim(-1, 1)
    return GoalReward(encoder, torch.from_numpy(goal).movedim(-1, 0)).reward(images, mode=mode)


@pytest.mark.parametrize("mode", ["difference", "value", "normalised"])
@pytest.mark.parametrize("key", [None, "picture"])
def test_the_reward_is_that_of_the_pictures(encoder, mode, key):
    env = VisualReward(Dot("rgb_array", pictures=True), encoder, GOAL, image_key=key, mode=mode)
    observation, info = env.reset(seed=1)
    pictures, rewards, values = [observation["picture"]], [], [info["value"]]
    for action in (2, 2, 1, 0):
        observation, reward, *_, info = env.step(action)
        pictures.append(observation["picture"])
        rewards.append(reward)
        values.append(info["value"])
        assert isinstance(reward, float)
        assert info["task_reward"] == -1
    np.testing.assert_allclose(rewards, expected(encoder, pictures, mode), rtol=1e-4, atol=1e-5)
    assert max(values) <= 0


def test_the_goal_of_an_episode(encoder):
    env = VisualReward(Dot("rgb_array"), encoder)
    with pytest.raises(UserError, match=r"there is no goal: .*reset\(options="):
        env.reset(seed=0)
    other = draw(20)
    _, info = env.reset(seed=0, options={"goal": other})
    assert info["value"] < 0
    env = VisualReward(Dot("rgb_array"), encoder, goal=GOAL)
    assert env.reset(seed=0, options={"goal": other})[1] == info
    assert env.reset(seed=0)[1] != info  # that of the constructor again


def test_gymnasium_finds_nothing_wrong(encoder):
    env = gymnasium.make("Dot-v0", render_mode="rgb_array")
    check_env(VisualReward(env.unwrapped, encoder, GOAL), skip_render_check=True)


@pytest.mark.parametrize("key", [None, "picture"])
@pytest.mark.parametrize("autoreset", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_many_environments_as_each_alone(encoder, monkeypatch, key, autoreset):
    options = {"vector_kwargs": {"autoreset_mode": autoreset}, "render_mode": "rgb_array"}
    vector = gymnasium.make_vec("PictureDot-v0", 3, vectorization_mode="sync", **options)
    if autoreset == AutoresetMode.SAME_STEP and key is None:
        with pytest.raises(UserError, match="name an image_key"):
            VectorVisualReward(vector, encoder, GOAL)
        return
    env = VectorVisualReward(vector, encoder, GOAL, image_key=key)
    observations, _ = env.reset(seed=3)
    alone = [VisualReward(Dot("rgb_array"), encoder, GOAL) for _ in range(3)]
    for number, one in enumerate(alone):
        one.reset(seed=3 + number)
    embedded = []
    embed = type(encoder).embed
    monkeypatch.setattr(
        type(encoder),
        "embed",
        lambda self, x, **more: embedded.append(len(x)) or embed(self, x, **more),
    )
    rng = np.random.default_rng(0)
    before = observations["picture"]
    for step in range(1, 2 * LENGTH):
        actions = rng.integers(0, 3, 3)
        embedded.clear()
        observations, rewards, _, truncated, infos = env.step(actions)
        batches = list(embedded)
        anew = autoreset == AutoresetMode.NEXT_STEP and step == LENGTH + 1
        if step <= LENGTH:
            singly = [one.step(action)[1] for one, action in zip(alone, actions, strict=True)]
            np.testing.assert_allclose(rewards, singly, rtol=1e-4, atol=1e-5)
        elif anew:
            assert (rewards == 0).all()
        else:
            after = observations["picture"]
            pairs = zip(before, after, strict=True)
            again = [float(expected(encoder, pair)[0]) for pair in pairs]
            np.testing.assert_allclose(rewards, again, rtol=1e-4, atol=1e-5)
        if not truncated.any():
            assert batches == [3]
        assert (infos["task_reward"] == (0 if anew else -1)).all()
        before = observations["picture"]


def make_ant(**options):
    return gymnasium.make("Ant-v5", render_mode="rgb_array", width=32, height=32, **options)


def drawn_anew(env, data):
    """What the environment shows of the state in the data, all of which is computed first."""
    env.unwrapped.set_state(data.qpos, data.qvel)
    return env.render()


@pytest.mark.usefixtures("opengl")
def test_mujoco_environments_are_drawn_in_their_state_and_move_as_before(encoder):
    as_it_is, fresh, scratch = make_ant(), FreshRender(make_ant()), make_ant()
    rewarded = VisualReward(make_ant(), encoder, np.zeros((32, 32, 3), np.uint8))
    for env in (as_it_is, fresh, scratch, rewarded):
        env.reset(seed=0)
        if env is not rewarded:  # which draws itself: the camera remembers where it was
            env.render()
    stale, rng = 0, np.random.default_rng(0)
    for _ in range(5):
        action = rng.uniform(-1, 1, 8)
        seen, reward, *_ = as_it_is.step(action)
        seen_fresh, reward_fresh, *_ = fresh.step(action)
        info = rewarded.step(action)[-1]
        data = as_it_is.unwrapped.data
        expected = drawn_anew(scratch, data)
        np.testing.assert_array_equal(fresh.render(), expected)
        value = rewarded._default.value(as_images(expected[None])).item()
        assert info["value"] == pytest.approx(value, rel=1e-5)
        stale += not np.array_equal(as_it_is.render(), expected)
        np.testing.assert_array_equal(seen, seen_fresh)
        assert reward == reward_fresh == info["task_reward"]
        for name in ("qpos", "qvel", "qacc_warmstart", "xpos", "cam_xpos", "sensordata"):
            for env in (fresh, rewarded):
                ours = getattr(env.unwrapped.data, name)
                np.testing.assert_array_equal(getattr(data, name), ours)
    assert stale  # else there was nothing to mend
    for env in (as_it_is, fresh, scratch, rewarded):
        env.close()


@pytest.mark.usefixtures("opengl")
def test_many_mujoco_environments_are_drawn_in_their_states(encoder):
    goal = np.zeros((32, 32, 3), np.uint8)
    envs = gymnasium.vector.SyncVectorEnv([make_ant, make_ant])
    many, alone = VectorVisualReward(envs, encoder, goal), VisualReward(make_ant(), encoder, goal)
    many.reset(seed=[0, 1])
    alone.reset(seed=1)
    for action in np.random.default_rng(0).uniform(-1, 1, (3, 2, 8)):
        values = many.step(action)[-1]["value"]
        assert values[1] == pytest.approx(alone.step(action[1])[-1]["value"], rel=1e-4)
    many.close()
    alone.close()


def test_make_vec_takes_it_as_a_wrapper(encoder):
    wrap = functools.partial(VisualReward, encoder=encoder, goal=GOAL)
    env = gymnasium.make_vec("Dot-v0", 2, wrappers=[wrap], render_mode="rgb_array")
    env.reset(seed=0)
    _, rewards, *_, infos = env.step(np.array([2, 2]))
    assert (rewards != -1).all()
    assert (infos["task_reward"] == -1).all()


def test_stable_baselines3_learns_by_it(encoder):
    stable_baselines3 = pytest.importorskip("stable_baselines3")
    env = VisualReward(gymnasium.make("Dot-v0", render_mode="rgb_array"), encoder, GOAL)
    model = stable_baselines3.PPO("MlpPolicy", env, n_steps=32, batch_size=32, n_epochs=1)
    model.learn(64)
    assert model.num_timesteps == 64


@pytest.mark.parametrize(
    ("env", "options", "message"),
    [
        (Dot(), {}, r'make it with render_mode="rgb_array"'),
        (
            Dot(pictures=True),
            {"image_key": "image"},
            r"hold no 'image', but \['picture', 'place'\]",
        ),
        (Dot(), {"image_key": ""}, r"observations are float32 \[1\], expected pictures"),
        (Dot("rgb_array"), {"goal": GOAL[:, :, 0]}, r"the goal is uint8 \[48, 48\], expected"),
        (Dot("rgb_array"), {"goal": GOAL[:0]}, r"the goal is uint8 \[0, 48, 3\], expected"),
        (Dot("rgb_array"), {"goal": [GOAL, GOAL[:40]]}, r"different sizes \(\(40.* and \(48"),
        (Dot("rgb_array"), {"goal": [GOAL, None]}, "there is nothing where a picture is expected"),
        (Dot("rgb_array"), {"goal": GOAL / 255}, r"float64 .* expected torch.uint8"),
        (Dot("rgb_array"), {"mode": "other"}, "there is no mode 'other'"),
    ],
)
def test_what_gives_no_reward_says_why(encoder, env, options, message):
    with pytest.raises(ValueError, match=message):
        VisualReward(env, encoder, **{"goal": GOAL, **options})


class Blind(Dot):
    """Renders nothing, as environments do whose render_mode was set too late."""

    def render(self):
        return None


def test_an_environment_that_renders_nothing_says_so(encoder):
    message = r"nothing where a picture is expected.*render\(\) gave None"
    with pytest.raises(UserError, match=message):
        VisualReward(Blind("rgb_array"), encoder, GOAL).reset(seed=0)
    many = gymnasium.vector.SyncVectorEnv([lambda: Blind("rgb_array")] * 2)
    with pytest.raises(UserError, match=message):
        VectorVisualReward(many, encoder, GOAL).reset(seed=0)


def test_a_goal_of_another_resolution(encoder):
    env = VisualReward(Dot("rgb_array"), encoder, np.kron(GOAL, np.ones((2, 2, 1), np.uint8)))
    assert env.reset(seed=0)[1]["value"] < 0
