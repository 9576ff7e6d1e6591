"""The package's scripted policies, which solve the tasks."""

import importlib
import warnings

import numpy as np

from vipl.control.environment import Floats
from vipl_evaluators.metaworld.environment import SawyerEnv
from vipl_evaluators.qualities import Guide, Script, ScriptGuide

_GIVEN_UP_STEPS = 300
_MORE_STEPS = 8


def make_guide(env: SawyerEnv, *, anywhere: bool = True) -> Guide:
    """Return how the environment's task is solved: by the package's script.

    Args:
        env: Of the task.
        anywhere: Begin wherever the package may put things, else at the usual start.
    """
    script = _script(env)

    def begin(rng: np.random.Generator) -> tuple[Floats, Script]:
        return (env.start_states(1, rng)[0] if anywhere else env.start_state()), script

    return ScriptGuide(env, begin, _GIVEN_UP_STEPS, _MORE_STEPS)


def _script(env: SawyerEnv) -> Script:
    policy = getattr(importlib.import_module("metaworld.policies"), env.task.script)()

    def act(state: Floats) -> Floats:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of actions beyond 1, with which scripts are fine
            action = policy.get_action(env.observe(state))
        return np.asarray(np.clip(action.astype(np.float64), -1, 1))

    return act
