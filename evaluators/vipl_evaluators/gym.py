"""Importing this module registers vipl's environments with Gymnasium.

`gymnasium.make("vipl_evaluators.gym:vipl/FrankaKitchen-SdoorOpen-v0")` imports it by itself. (The
entry points by which Gymnasium once found other packages' environments are gone since its 1.0.)
"""

import gymnasium

from vipl_evaluators.frankakitchen.tasks import TASKS

MAX_EPISODE_STEPS = 100
"""Eight seconds."""


def env_id(task_name: str) -> str:
    """Return a FrankaKitchen task's id: "vipl/FrankaKitchen-SdoorOpen-v0" of "sdoor_open"."""
    camel_case = "".join(word.capitalize() for word in task_name.split("_"))
    return f"vipl/FrankaKitchen-{camel_case}-v0"


for _name in TASKS:
    if env_id(_name) not in gymnasium.registry:  # this module may be reloaded
        gymnasium.register(
            id=env_id(_name),
            entry_point="vipl_evaluators.frankakitchen.gym_env:KitchenGymEnv",
            max_episode_steps=MAX_EPISODE_STEPS,
            kwargs={"task": _name},
        )
