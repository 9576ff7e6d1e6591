"""What the package's observations, rewards and success are functions of, read off states.

Source: MetaWorld 3.0, `_get_pos_objects` and `_target_pos` of its environments. Positions are in
metres.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from vipl.control.environment import Floats

_WIDEST_METRES = 0.1  # between the claws
_OBSERVED_THINGS = 14


@dataclass(frozen=True)
class Scene:
    """Where things are, in states [...].

    Attributes:
        hand: Position [..., 3].
        tip: Of the gripper, between the ends of its fingers [..., 3].
        pads_y: Of the fingers' left and right pad [..., 2].
        opening: Of the gripper, 0 to 1 [...].
        effort: Of closing the gripper, by the last action [...].
        thing: Position [..., 3] of what is to be grasped or moved.
        turn: Its quaternion [..., 4].
        target: Where it is to go [..., 3].
        other: One more position [..., 3]: the ring's middle in assembly, the nail in hammer; else
            the thing's.
        other_turn: Its quaternion [..., 4].
        slid: Position [...] of the model's last joint: drawer, button or nail.
    """

    hand: Floats
    tip: Floats
    pads_y: Floats
    opening: Floats
    effort: Floats
    thing: Floats
    turn: Floats
    target: Floats
    other: Floats
    other_turn: Floats
    slid: Floats


Poses = Callable[[mujoco.MjData], list[Any]]
"""Reads thing, turn, target, other and other_turn."""


def read_numbers(data: mujoco.MjData, poses: Poses) -> Floats:
    """Return all numbers of a scene but the effort, one after another: [32]."""
    claws = data.body("rightclaw").xpos - data.body("leftclaw").xpos
    return np.concatenate(
        [
            data.body("hand").xpos,
            (data.site("rightEndEffector").xpos + data.site("leftEndEffector").xpos) / 2,
            [data.body("leftpad").xpos[1], data.body("rightpad").xpos[1]],
            [min(float(np.linalg.norm(claws)) / _WIDEST_METRES, 1.0)],
            *poses(data),
            [data.qpos[-1]],
        ]
    )


def split_numbers(numbers: Floats, effort: Floats) -> Scene:
    """Return the scene of numbers [..., 32] that `read_numbers` gave."""
    sizes = (3, 3, 2, 1, 3, 4, 3, 3, 4, 1)
    hand, tip, pads_y, opening, thing, turn, target, other, other_turn, slid = np.split(
        numbers, np.cumsum(sizes)[:-1], axis=-1
    )
    return Scene(
        hand, tip, pads_y, opening[..., 0], effort, thing, turn, target, other, other_turn,
        slid[..., 0],
    )  # fmt: skip


def sawyer_observation(scene: Scene, *, two_things: bool) -> Floats:
    """Return the package's observation [..., 39] at an episode's start.

    That is the hand, the opening, the thing (two_things: and the other one), all of it again, as
    of the step before, and the target.
    """
    poses = [scene.thing, scene.turn, *([scene.other, scene.other_turn] if two_things else [])]
    things = np.concatenate(poses, axis=-1)
    padding = np.zeros((*things.shape[:-1], _OBSERVED_THINGS - things.shape[-1]))
    now = np.concatenate([scene.hand, scene.opening[..., None], things, padding], axis=-1)
    return np.concatenate([now, now, scene.target], axis=-1)


def _assembly(data: mujoco.MjData) -> list[Any]:
    turn = data.body("RoundNut").xquat
    ring = data.site("RoundNut").xpos
    return [data.site("RoundNut-8").xpos, turn, data.site("pegTop").xpos, ring, turn]


def _bin_picking(data: mujoco.MjData) -> list[Any]:
    cube = data.body("obj")
    return [cube.xpos, cube.xquat, data.body("bin_goal").xpos, cube.xpos, cube.xquat]


def _button_press_topdown(data: mujoco.MjData) -> list[Any]:
    button = data.body("button")
    top = button.xpos + np.array([0, 0, 0.193])
    return [top, button.xquat, data.site("hole").xpos, top, button.xquat]


def _drawer_open(data: mujoco.MjData) -> list[Any]:
    drawer = data.body("drawer_link")
    handle = drawer.xpos + np.array([0, -0.16, 0])
    return [handle, drawer.xquat, data.site("goal").xpos, handle, drawer.xquat]


def _hammer(data: mujoco.MjData) -> list[Any]:
    hammer, nail = data.body("hammer"), data.body("nail_link")
    return [hammer.xpos, hammer.xquat, data.site("goal").xpos, nail.xpos, nail.xquat]


POSES: dict[str, Poses] = {
    "assembly": _assembly,
    "bin_picking": _bin_picking,
    "button_press_topdown": _button_press_topdown,
    "drawer_open": _drawer_open,
    "hammer": _hammer,
}
