"""A control suite without a simulator: a point that moves on a line, drawn as a white column."""

import numpy as np
import torch

from vipl.control.environment import ControlEnv
from vipl.evaluation import ControlEvaluator, Goal
from vipl.models.encoder import Encoder

SIZE = 32


class Line(ControlEnv):
    action_size = 1
    fps_hz = 10.0

    def __init__(self, target):
        self.target = target
        self.drawn = []

    def start_state(self):
        return np.zeros(1)

    def rollout(self, state, actions):
        return np.clip(state + 0.1 * np.cumsum(actions, axis=1), -1, 1)

    def render(self, states, camera):
        self.drawn.append(len(states))
        pictures = np.zeros((len(states), SIZE, SIZE, 3), dtype=np.uint8)
        for picture, (position,) in zip(pictures, states, strict=True):
            column = round((position + 1) / 2 * (SIZE - 9))
            picture[:, column : column + 8] = 255
        return pictures if camera == "front" else pictures[:, :, ::-1]

    def true_reward(self, states):
        return -np.abs(states[..., 0] - self.target)

    def is_success(self, states):
        return np.abs(states[..., 0] - self.target) < 0.095

    def pose_errors(self, states, goal):
        return {"error": np.abs(states[..., 0] - goal[0])}


class Lines(ControlEvaluator):
    """A point on a line."""

    version = 1
    cameras = ("front", "mirror")
    higher_is_better = {**ControlEvaluator.higher_is_better, "error": False}  # noqa: RUF012

    def tasks(self):
        return {"left": "go left", "right": "go right"}

    def make_env(self, task):
        return Line(-0.8 if task == "left" else 0.8)

    def goal(self, task, env):
        del env
        return Goal(f"{task}/0", np.linspace(0, -0.8 if task == "left" else 0.8, 41)[:, None])


class Columns(Encoder):
    """Sees where the column is."""

    def embed(self, images, *, batch_size=64):
        del batch_size
        weights = torch.arange(images.shape[-1], dtype=torch.float32)
        bright = images[:, 0].float().mean(dim=1)
        return ((bright * weights).sum(1) / bright.sum(1))[:, None]
