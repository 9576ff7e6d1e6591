"""The twelve tasks: one joint each, from where to where it is to move.

Source: arXiv 2210.00030, appendix, and the kitchen model of gymnasium-robotics.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SUCCESS_SHARE = 0.15
"""A task is solved while its joint is within this share of its range of the goal."""


@dataclass(frozen=True)
class Task:
    """One thing to do.

    Attributes:
        name: Such as "sdoor_open".
        label: In words.
        joint: Name of the joint in the model.
        qpos_index: Its place in the state's qpos.
        start: Its position at the start, in radians (metres for the sliding door).
        goal: The position to reach.
        joint_range: Width of the joint's limits, in the same unit.
        site: Name of the point of the model that the hand is to reach, such as the handle.
    """

    name: str
    label: str
    joint: str
    qpos_index: int
    start: float
    goal: float
    joint_range: float
    site: str

    def is_success(self, position: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return whether the joint is near enough to the goal, for each of its positions."""
        return np.abs(position - self.goal) < SUCCESS_SHARE * self.joint_range


def _pair(
    names: tuple[str, str],
    labels: tuple[str, str],
    joint: tuple[str, int],
    site: str,
    *,
    opened: float,
    width: float,
) -> list[Task]:
    return [
        Task(names[0], labels[0], *joint, start=0.0, goal=opened, joint_range=width, site=site),
        Task(names[1], labels[1], *joint, start=opened, goal=0.0, joint_range=width, site=site),
    ]


def _door(
    name: str, words: str, joint: tuple[str, int], site: str, *, opened: float, width: float
) -> list[Task]:
    names, labels = (f"{name}_open", f"{name}_close"), (f"open the {words}", f"close the {words}")
    return _pair(names, labels, joint, site, opened=opened, width=width)


def _switch(
    name: str, words: str, joint: tuple[str, int], site: str, *, opened: float
) -> list[Task]:
    names, labels = (f"{name}_on", f"{name}_off"), (f"turn the {words} on", f"turn the {words} off")
    return _pair(names, labels, joint, site, opened=opened, width=abs(opened))


_MICROWAVE, _SLIDE = ("microwave", 22), ("slide_cabinet", 19)
_LEFT_HINGE, _RIGHT_HINGE = ("left_hinge_cabinet", 20), ("right_hinge_cabinet", 21)
_LIGHT, _KNOB = ("light_switch", 17), ("knob_Joint_1", 9)

TASKS: dict[str, Task] = {
    task.name: task
    for task in [
        *_door("micro", "microwave", _MICROWAVE, "microhandle_site", opened=-1.25, width=2.094),
        *_door("sdoor", "sliding door", _SLIDE, "slide_site", opened=0.44, width=0.44),
        *_door("ldoor", "left hinged door", _LEFT_HINGE, "hinge_site1", opened=-1.25, width=1.57),
        *_door("rdoor", "right hinged door", _RIGHT_HINGE, "hinge_site2", opened=1.57, width=1.57),
        *_switch("light", "light", _LIGHT, "light_site", opened=-0.7),
        *_switch("knob1", "first knob", _KNOB, "knob1_site", opened=-1.57),
    ]
}
