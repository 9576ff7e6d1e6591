"""A control suite without a simulator: an arm and an object on a line each, drawn as columns."""

import numpy as np
import torch

from vipl.control.environment import ControlEnv
from vipl.control.trajectories import from_states
from vipl.evaluation import ControlEvaluator, Goal
from vipl.models.encoder import Encoder

SIZE = 64
STEPS = 40
JITTER = 1e-4  # how much an object moves that nobody touches


class Table(ControlEnv):
    """States [arm, object], from 0 to 1; the arm is drawn above, the object below."""

    action_size = 2
    fps_hz = 10.0

    def __init__(self, target=1.0):
        self.target = target

    def start_state(self):
        return np.array([0.0, 1 - self.target])

    def rollout(self, state, actions):
        return state + 0.1 * np.cumsum(actions, axis=1)

    def render(self, states, camera):
        del camera
        pictures = np.zeros((len(states), SIZE, SIZE, 3), dtype=np.uint8)
        for picture, places in zip(pictures, states, strict=True):
            for half, place in enumerate(places):
                column = round(place * (SIZE - 8))
                picture[half * SIZE // 2 :][: SIZE // 2, column : column + 8] = 255
        return pictures

    def true_reward(self, states):
        return -np.abs(states[..., 1] - self.target)

    def is_success(self, states):
        return np.abs(states[..., 1] - self.target) < 0.1

    def pose_errors(self, states, goal):
        return {"error": np.abs(states[..., 1] - goal[1])}

    def place_object(self, states, shares):
        placed = np.repeat(states[:, None], len(shares), axis=1)
        placed[..., 1] = 1 - self.target + shares * (2 * self.target - 1)
        return placed


class Tables(ControlEvaluator):
    """An arm that takes an object along, or does not."""

    version = 1
    cameras = ("front",)
    higher_is_better = {**ControlEvaluator.higher_is_better, "error": False}  # noqa: RUF012

    def tasks(self):
        return {"there": "bring it there", "back": "bring it back"}

    def make_env(self, task):
        return Table(1.0 if task == "there" else 0.0)

    def goal(self, task, env):
        del env
        way = np.linspace(0, 1, STEPS + 1)
        return Goal(f"{task}/0", np.stack([way, way if task == "there" else 1 - way], axis=1))

    def make_trajectories(self, task, env, *, seed=0):
        """Every other one takes the object along, unless all are to fail."""
        rng = np.random.default_rng(seed)
        made = []
        for number in range(self.dataset.trajectories):
            arm = np.linspace(0, rng.uniform(0.5, 1), STEPS + 1)
            taken = arm if number % 2 and self.dataset.quality != "failing" else 0 * arm
            taken = taken + rng.uniform(-JITTER, JITTER, STEPS + 1)
            objects = taken if env.target == 1 else 1 - taken
            states = np.stack([arm, objects.clip(0, 1)], axis=1)
            made.append(from_states(env, f"{task}/{number}", states, np.zeros((STEPS, 2))))
        return made


class Still(Tables):
    """The same, and its environment cannot place the object."""

    def make_env(self, task):
        env = super().make_env(task)
        env.place_object = lambda states, shares: None
        return env


class Sees(Encoder):
    """Embeds where the columns are: of the arm, of the object, or nothing."""

    what = "object"

    def embed(self, images, *, batch_size=64):
        del batch_size
        half = slice(SIZE // 2, None) if self.what == "object" else slice(0, SIZE // 2)
        if self.what == "nothing":
            return torch.ones(len(images), 1)
        bright = images[:, 0, half].float().mean(dim=1)
        weights = torch.arange(images.shape[-1], dtype=torch.float32)
        return ((bright * weights).sum(1) / bright.sum(1))[:, None]
