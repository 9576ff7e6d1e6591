"""Policies learnt from trajectories: behaviour cloning, and the same weighted by rewards.

Source: arXiv 2210.00030, few-shot offline RL: reward-weighted regression weights every transition
by exp(tau R); with weight 1 it is behaviour cloning. BatchNorm on the input is that of the
imitation protocol of arXiv 2203.12601.

Shapes: M transitions, I inputs, A actions.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import scipy.stats
import torch
from torch import Tensor, nn
from torch.nn import functional

from vipl.control.environment import Floats
from vipl.errors import UserError


@dataclass(frozen=True)
class PolicyTraining:
    """How a policy is trained: the paper's settings.

    Attributes:
        steps: Of the optimiser, Adam.
        batch_size: Transitions a step.
        lr: Learning rate.
        hidden: Sizes of the hidden layers.
        temperature: tau of exp(tau R).
        max_weight: Most that a transition counts, before weights are brought to a mean of 1.
        scale: What R is measured in. "reward": as it is, so that an encoder whose distances are
            small hardly weights anything. "spread": in standard deviations over the data, estimated
            by the quartiles, so that a few large rewards do not hide the differences of the rest.
        evaluate_every: Steps from one evaluation by rollouts to the next.
        episodes: Of an evaluation.
    """

    steps: int = 20_000
    batch_size: int = 32
    lr: float = 1e-3
    hidden: tuple[int, ...] = (256, 256)
    temperature: float = 0.1
    max_weight: float = 20.0
    scale: Literal["reward", "spread"] = "reward"
    evaluate_every: int = 5_000
    episodes: int = 10

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "lr", "max_weight", "evaluate_every", "episodes"):
            if not getattr(self, name) > 0:
                raise UserError(f"{name} is {getattr(self, name)}, expected more than 0")
        if self.batch_size < 2:
            raise UserError("batch_size is 1, expected 2 or more (BatchNorm)")


class Acts(Protocol):
    """A policy that has been learnt."""

    def act(self, observations: Floats) -> Floats:
        """Return actions [N, A] within [-1, 1], of observations [N, I]."""


class Policy(nn.Module):
    """A deterministic policy: BatchNorm, then a multilayer perceptron.

    Args:
        inputs: I.
        actions: A.
        hidden: Sizes of the hidden layers.
    """

    def __init__(self, inputs: int, actions: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.BatchNorm1d(inputs)]
        for before, after in zip((inputs, *hidden), hidden, strict=False):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear((inputs, *hidden)[-1], actions))

    def forward(self, observations: Tensor) -> Tensor:
        """Return actions [N, A] of observations [N, I]."""
        actions: Tensor = self.layers(observations)
        return actions

    @torch.no_grad()
    def act(self, observations: Floats) -> Floats:
        """Return actions [N, A] within [-1, 1], of observations [N, I]."""
        actions: Tensor = self(torch.as_tensor(observations, dtype=torch.float32))
        return np.asarray(actions.clamp(-1, 1).double().numpy())


def reward_weights(rewards: Floats, training: PolicyTraining) -> Floats:
    """Return the weights [M] of transitions by their rewards [M]: exp(tau R), of mean 1.

    Their mean changes nothing but the learning rate.

    Raises:
        UserError: If a reward is not finite.
    """
    if not np.isfinite(rewards).all():
        bad = int((~np.isfinite(rewards)).sum())
        raise UserError(f"{bad} of {len(rewards)} rewards are not finite: is the encoder sound?")
    spread = scipy.stats.iqr(rewards, scale="normal") if training.scale == "spread" else 1.0
    exponents = training.temperature * rewards / (spread or 1.0)
    weights = np.exp(np.minimum(exponents, np.log(training.max_weight)))
    return np.asarray(weights / weights.mean())


def train_policy(
    observations: Floats, actions: Floats, weights: Floats, training: PolicyTraining, *, seed: int
) -> Iterator[tuple[int, Policy]]:
    """Train a policy, and yield it with the number of steps at every evaluation.

    Args:
        observations: [M, I].
        actions: [M, A], within [-1, 1].
        weights: [M].
        training: How.
        seed: Of the initial weights and the order of transitions.
    """
    inputs = torch.as_tensor(observations, dtype=torch.float32)
    targets = torch.as_tensor(actions, dtype=torch.float32)
    scales = torch.as_tensor(weights, dtype=torch.float32)[:, None]
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        policy = Policy(inputs.shape[1], targets.shape[1], tuple(training.hidden))
    optimiser = torch.optim.Adam(policy.parameters(), lr=training.lr, fused=True)
    for step in range(1, training.steps + 1):
        drawn = torch.randint(len(inputs), (training.batch_size,), generator=generator)
        errors = functional.mse_loss(policy(inputs[drawn]), targets[drawn], reduction="none")
        optimiser.zero_grad()
        (scales[drawn] * errors).mean().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if step % training.evaluate_every == 0 or step == training.steps:
            yield step, policy.eval()
            policy.train()
