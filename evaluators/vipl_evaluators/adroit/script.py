"""How the tasks are solved: the ball is carried by a script, the pen as it was planned."""

import numpy as np

from vipl.control.environment import Floats
from vipl_evaluators.adroit.carry import Carry
from vipl_evaluators.adroit.demonstrations import load_demonstrations
from vipl_evaluators.adroit.environment import HandEnv, PenEnv, RelocateEnv
from vipl_evaluators.qualities import Guide, Script, ScriptGuide

_GIVEN_UP_STEPS = 300
_MORE_STEPS = 8
_TREMOR = 0.02  # standard deviation of what is added to a planned action


def make_guide(env: HandEnv) -> Guide:
    """Return how the environment's task is solved, from another start every time."""
    if isinstance(env, PenEnv):
        return _pen_guide(env)
    assert isinstance(env, RelocateEnv)
    return carry_guide(env)


def carry_guide(env: RelocateEnv, *, anywhere: bool = True) -> Guide:
    """Return how the ball is carried.

    Args:
        env: Of the task.
        anywhere: Begin wherever ball and target may be, else at the usual start.
    """

    def begin(rng: np.random.Generator) -> tuple[Floats, Script]:
        return (env.start_states(1, rng)[0] if anywhere else env.start_state()), Carry(env)

    return ScriptGuide(env, begin, _GIVEN_UP_STEPS, _MORE_STEPS)


def _pen_guide(env: PenEnv) -> Guide:
    demonstrations = load_demonstrations()

    def begin(rng: np.random.Generator) -> tuple[Floats, Script]:
        chosen = demonstrations[int(rng.integers(len(demonstrations)))]
        shaken = chosen.actions + rng.normal(scale=_TREMOR, size=chosen.actions.shape)
        actions, first = np.clip(shaken, -1, 1), chosen.states[0, 0]

        def act(state: Floats) -> Floats:
            step = round((state[0] - first) * env.fps_hz)  # a state begins with the time
            return np.asarray(actions[min(step, len(actions) - 1)])

        return chosen.states[0], act

    return ScriptGuide(env, begin, max(len(d.actions) for d in demonstrations), _MORE_STEPS)
