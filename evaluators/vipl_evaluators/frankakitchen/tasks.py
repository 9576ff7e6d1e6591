"""The twelve tasks: one joint each, from where to where it is to move.

Source: arXiv 2210.00030, appendix, and the kitchen model of gymnasium-robotics.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from vipl.errors import UserError

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
    """

    name: str
    label: str
    joint: str
    qpos_index: int
    start: float
    goal: float
    joint_range: float

    def is_success(self, position: float) -> bool:
        """Return whether the joint is near enough to the goal."""
        return abs(position - self.goal) < SUCCESS_SHARE * self.joint_range


def _pair(
    names: tuple[str, str],
    labels: tuple[str, str],
    joint: tuple[str, int],
    *,
    opened: float,
    joint_range: float,
) -> list[Task]:
    there = Task(names[0], labels[0], *joint, start=0.0, goal=opened, joint_range=joint_range)
    back = Task(names[1], labels[1], *joint, start=opened, goal=0.0, joint_range=joint_range)
    return [there, back]


def _door(name: str, words: str, joint: tuple[str, int], opened: float, width: float) -> list[Task]:
    labels = f"open the {words}", f"close the {words}"
    return _pair((f"{name}_open", f"{name}_close"), labels, joint, opened=opened, joint_range=width)


def _switch(name: str, words: str, joint: tuple[str, int], opened: float) -> list[Task]:
    labels = f"turn the {words} on", f"turn the {words} off"
    return _pair(
        (f"{name}_on", f"{name}_off"), labels, joint, opened=opened, joint_range=abs(opened)
    )


TASKS: dict[str, Task] = {
    task.name: task
    for task in [
        *_door("micro", "microwave", ("microwave", 22), -1.25, 2.094),
        *_door("sdoor", "sliding door", ("slide_cabinet", 19), 0.44, 0.44),
        *_door("ldoor", "left hinged door", ("left_hinge_cabinet", 20), -1.25, 1.57),
        *_door("rdoor", "right hinged door", ("right_hinge_cabinet", 21), 1.57, 1.57),
        *_switch("light", "light", ("light_switch", 17), -0.7),
        *_switch("knob1", "first knob", ("knob_Joint_1", 9), -1.57),
    ]
}


def choose(kind: str, wanted: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    """Return the wanted names, or all known ones.

    Args:
        kind: What they name, for the message.
        wanted: Names, or None for all.
        known: All names.

    Raises:
        UserError: If a name is unknown; near ones are listed.
    """
    for name in wanted or ():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3) or list(known)
            raise UserError(f"there is no {kind} {name!r}: expected {', '.join(near)}")
    return list(dict.fromkeys(wanted)) if wanted else list(known)
