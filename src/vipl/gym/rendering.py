"""Pictures of the state that a MuJoCo environment of Gymnasium is in, not of the one before."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import gymnasium
from gymnasium.utils import RecordConstructorArgs


class FreshRender(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Lets `render` show where things are now.

    After `step`, MuJoCo has moved the joints on, but bodies are where they were before the last
    step of the physics, and Gymnasium's environments draw them there: up to centimetres behind.
    Here they are put where they belong for the picture, and back: what follows is the same to the
    last bit. Other environments than MuJoCo's are left as they are.

    `VisualReward` does so itself where it calls `render`. This is for what takes pictures below it,
    such as `gymnasium.wrappers.AddRenderObservation`, and for environments in other processes:
    `gymnasium.make_vec(..., wrappers=[FreshRender])`.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        gymnasium.Wrapper.__init__(self, env)

    def render(self) -> Any:
        """Return what the environment draws of its state now."""
        with up_to_date([self.env]):
            return self.env.render()


@contextmanager
def up_to_date(envs: Iterable[gymnasium.Env[Any, Any]]) -> Iterator[None]:
    """Let MuJoCo environments draw the state that they are in, and leave no trace."""
    with ExitStack() as stack:
        for env in envs:
            stack.enter_context(_refreshed(env.unwrapped))
        yield


@contextmanager
def _refreshed(env: Any) -> Iterator[None]:
    mujoco: Any = sys.modules.get("mujoco")  # an environment that needs it has imported it
    model, data = getattr(env, "model", None), getattr(env, "data", None)
    if mujoco is None or not (
        isinstance(model, mujoco.MjModel) and isinstance(data, mujoco.MjData)
    ):
        yield
        return
    before = mujoco.MjData(model)
    mujoco.mj_copyData(before, model, data)
    for part in ("kinematics", "comPos", "camlight", "flex", "tendon"):  # no dynamics
        getattr(mujoco, f"mj_{part}")(model, data)
    try:
        yield
    finally:
        mujoco.mj_copyData(data, model, before)
