"""The protocol that learns a policy by acting: online RL.

The policy sees the encoder's embedding of a picture and what the robot feels of itself, and is
rewarded by R(o, o'; g) = V(o'; g) - V(o; g); the oracle sees the state and is rewarded by it.

Shapes: N episodes, S state size, I inputs of the policy.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vipl.control.environment import Floats
from vipl.control.online import Learner, OnlineTraining, require_packages
from vipl.evaluation.evaluator import ONLINE_RL, SPARSE_REWARD, TRUE_REWARD, Cell, Outcome
from vipl.evaluation.protocols.policy_learning import Evaluation, Progress, evaluate, outcome
from vipl.evaluation.protocols.protocol import Begin, ControlProtocol, Goal, Suite, View
from vipl.files import write_atomically
from vipl.rewards.goal import GoalReward


class OnlineRL(ControlProtocol):
    """Learn by acting."""

    name = ONLINE_RL
    summary = "learn by acting, rewarded by the change of embedding distance"
    unit = "training"
    settings: OnlineTraining = OnlineTraining()
    acts_for_reward = True

    def run(
        self, suite: Suite, cell: Cell, view: View, goal: Goal, rng: np.random.Generator
    ) -> Outcome:
        """Learn a policy, and run episodes with it."""
        reward, shown = None, goal.name
        if cell.variant not in (SPARSE_REWARD, TRUE_REWARD):
            reward, shown = suite.reward(cell, view, goal)
        final, progress = practise(
            Rewarded(view, reward, sparse=cell.variant == SPARSE_REWARD),
            self.settings,
            suite.begin(view.env, goal),
            steps=suite.steps,
            rng=rng,
            checkpoint=suite.checkpoint,
        )
        return outcome(view, final, progress, goal=goal.states[-1], info={"goal": shown})


@dataclass(frozen=True)
class Rewarded:
    """What a policy sees, and how good it is.

    Attributes:
        view: What it sees.
        reward: Of the encoder; None: of the ground-truth state.
        sparse: Whether the ground-truth state's is 1 where the task is solved, and 0 elsewhere.
    """

    view: View
    reward: GoalReward | None
    sparse: bool = False

    @property
    def gains(self) -> bool:
        """Whether a step is rewarded by how much better it makes things."""
        return not self.sparse

    def __call__(self, states: Floats) -> tuple[Floats, Floats]:
        """Return what is seen of states [N, S], [N, I], and how good they are, [N].

        Raises:
            UserError: If the encoder gives numbers that are not finite.
        """
        if self.reward is None:
            env = self.view.env
            true = env.is_success(states) if self.sparse else env.true_reward(states)
            return self.view.inputs(states), np.asarray(true, dtype=np.float64)
        embeddings = self.view.embed(states)
        goodness = self.reward.value_of(embeddings).double().cpu().numpy()
        return self.view.join(embeddings, states), goodness


def practise(
    rewarded: Rewarded,
    training: OnlineTraining,
    begin: Begin,
    *,
    steps: int,
    rng: np.random.Generator,
    checkpoint: Path | None,
) -> tuple[Evaluation, list[Progress]]:
    """Learn by acting, and evaluate on the way.

    Args:
        rewarded: What is seen and rewarded.
        training: How it learns.
        begin: Where episodes begin.
        steps: Of an episode.
        rng: Of everything random.
        checkpoint: A file for what is needed to go on after being killed; None: nothing is kept.

    Returns:
        What the finished policy does, and how it came there.

    Raises:
        UserError: If Stable-Baselines3 is not installed.
    """
    require_packages()
    from vipl.control.batched_episodes import BatchedEpisodes

    seed = int(rng.integers(2**31))
    starts = begin(training.episodes, rng)
    episodes = BatchedEpisodes(
        rewarded.view.env,
        rewarded,
        begin,
        number=training.environments,
        steps=steps,
        gains=rewarded.gains,
    )
    # Not under the evaluation's inference mode, in which nothing can be trained.
    with torch.inference_mode(False), torch.enable_grad():
        learner = Learner(episodes, training, seed=seed)
        progress = _restore(learner, checkpoint)
        latest = None
        for step in learner.learn():
            latest = evaluate(rewarded.view, learner, starts, steps=steps)
            progress.append(Progress(step, latest.rate, episodes.mean_return))
            _save(learner, progress, checkpoint)
        # Nothing was left to learn where it was killed after the last part.
        return latest or evaluate(rewarded.view, learner, starts, steps=steps), progress


def _save(learner: Learner, progress: list[Progress], path: Path | None) -> None:
    if path is None:
        return
    content = {"progress": [asdict(each) for each in progress], **learner.get_state()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda temporary: torch.save(content, temporary))


def _restore(learner: Learner, path: Path | None) -> list[Progress]:
    if path is None or not path.is_file():
        return []
    content: dict[str, Any] = torch.load(path, weights_only=True)
    learner.set_state(content)
    return [Progress(**each) for each in content["progress"]]
