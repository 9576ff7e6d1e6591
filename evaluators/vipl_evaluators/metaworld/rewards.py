"""The package's dense rewards and its criteria of success, for many states at once.

Source: MetaWorld 3.0, `compute_reward` ("v2") and `evaluate_state` of its environments, which give
one state's at a time; a test compares the two. Distances are in metres, rewards from 0 to 10.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vipl.control.environment import Floats
from vipl_evaluators.metaworld.measures import Scene

_XZ = [0, 2]
_CAGED = 0.97
_DRAWER_METRES = 0.2
_RADIUS = 0.05  # within which a cube is in its bin


@dataclass(frozen=True)
class Beginning:
    """What margins are measured from.

    Attributes:
        scene: When the episode began.
        grasped: Where what is to be grasped was put [3].
    """

    scene: Scene
    grasped: Floats


def tolerance(
    x: Floats, most: float, *, margin: Floats | float, least: float | Floats = 0.0
) -> Floats:
    """Return 1 where least <= x <= most, else what falls to 0.1 at the margin's distance."""
    outside = np.maximum(np.maximum(least - x, x - most), 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        falling = 1 / (1 + 9 * (outside / margin) ** 2)
    return np.where(outside == 0, 1.0, falling)


def both(a: Floats, b: Floats) -> Floats:
    """Return the Hamacher product, a soft "and" of numbers from 0 to 1."""
    sum_less_product = a + b - a * b
    return np.divide(a * b, sum_less_product, out=np.zeros_like(a * b), where=sum_less_product > 0)


def _length(vector: Floats) -> Floats:
    return np.asarray(np.linalg.norm(vector, axis=-1))


def _upright(turn: Floats, ideal: tuple[float, ...]) -> Floats:
    return np.asarray(np.maximum(1 - _length(turn - np.array(ideal)) / 0.4, 0))


@dataclass(frozen=True)
class Grasp:
    """How well the gripper is around something.

    Attributes:
        caged: By where the fingers are, 0 to 1.
        held: That, and by closing them.
    """

    caged: Floats
    held: Floats


def _grasp(
    scene: Scene, beginning: Beginning, thing: Floats, *, pads_apart: float, effort: float = 1.0
) -> Grasp:
    """Return how well the gripper is around a thing [..., 3] of 1.5 cm radius."""
    off = np.abs(scene.pads_y - thing[..., 1:2])
    margin = np.abs(np.abs(scene.pads_y - beginning.grasped[1]) - pads_apart)
    sides = tolerance(off, pads_apart, margin=margin, least=0.015)
    far = _length(beginning.grasped[_XZ] - beginning.scene.tip[_XZ]) - 0.01
    above = tolerance(_length((scene.tip - thing)[..., _XZ]), 0.01, margin=float(far))
    caged = both(both(sides[..., 0], sides[..., 1]), above)
    closing = np.clip(scene.effort, 0, effort) / effort
    return Grasp(caged, both(caged, np.where(caged > _CAGED, closing, 0.0)))


def _along_handle(scene: Scene, reach: float) -> Floats:
    """Return where a handle along x is grasped: beside the hand, if that is along it."""
    point = scene.thing.copy()
    beside = np.abs(scene.thing[..., 0] - scene.hand[..., 0]) < reach
    point[..., 0] = np.where(beside, scene.hand[..., 0], scene.thing[..., 0])
    return np.asarray(point)


def _assembly(scene: Scene, beginning: Beginning) -> Floats:
    handle = _along_handle(scene, 0.01)
    reach = float(_length(beginning.grasped - beginning.scene.tip))
    near = tolerance(_length(handle - scene.tip), 0.01, margin=abs(reach - 0.01))
    grabbed = (_grasp(scene, beginning, handle, pads_apart=0.02).held + near) / 2
    off = scene.target - scene.other
    radius, solved = _length(off[..., :2]), _on_peg(scene)
    neck = np.where(solved, 0.02, 0.01)
    outside = radius > neck
    height = np.where(outside, 0.02 * np.log(np.where(outside, radius - neck, 1)) + 0.2, 0)
    off[..., 2] = height - scene.other[..., 2]
    lifted = (scene.other[..., 2] > 0.02) | (radius < neck)
    placed = 0.1 * lifted + 0.9 * tolerance(_length(off * [1, 1, 3]), 0.02, margin=0.4)
    upright = _upright(scene.turn, (0.707, 0, 0, 0.707))
    return np.where(solved, 10.0, (2 * grabbed + 6 * placed) * upright)


def _on_peg(scene: Scene) -> NDArray[np.bool_]:
    off = scene.target - scene.other
    return np.asarray((_length(off[..., :2]) < 0.02) & (off[..., 2] > 0))


def _bin_picking(scene: Scene, beginning: Beginning) -> Floats:
    left = _length(scene.thing - scene.target)
    way = float(_length(beginning.scene.thing - beginning.scene.target))
    placed = tolerance(left, _RADIUS, margin=way)
    grasp = _grasp(scene, beginning, scene.thing, pads_apart=0.05, effort=0.7)
    reward = both((grasp.held + grasp.caged) / 2, placed)
    near = _length(scene.thing - scene.hand) < 0.04
    lifted = scene.thing[..., 2] - 0.02 > beginning.grasped[2]
    held = near & lifted & (scene.opening >= 0.43)
    reward = reward + np.where(held, 1 + 5 * both(_above_bins(scene, beginning), placed), 0)
    return np.where(left < _RADIUS, 10.0, reward)


def _above_bins(scene: Scene, beginning: Beginning) -> Floats:
    """Return whether the hand is above two funnels, over the start's place and over the goal."""
    floors = []
    for middle in (beginning.grasped[:2], scene.target[..., :2]):
        radius = _length(scene.hand[..., :2] - middle)
        outside = radius > 0.03
        rim = 0.02 * np.log(np.where(outside, radius - 0.03, 1)) + 0.2
        floors.append(np.where(outside, rim, 0))
    below = np.maximum(np.minimum(*floors) - scene.hand[..., 2], 0)
    return np.where(below == 0, 1.0, tolerance(below, 0.01, margin=0.05))


def _button_press_topdown(scene: Scene, beginning: Beginning) -> Floats:
    reach = _length(scene.thing - scene.tip)
    # The package measures this margin to where the button is now.
    near = tolerance(reach, 0.01, margin=_length(scene.thing - beginning.scene.tip))
    left = np.abs(scene.target[..., 2] - scene.thing[..., 2])
    way = float(np.abs(beginning.scene.target[2] - beginning.scene.thing[2]))
    pressed = tolerance(left, 0.005, margin=way)
    return 5 * both(1 - scene.opening, near) + np.where(reach <= 0.03, 5 * pressed, 0)


def _drawer_open(scene: Scene, beginning: Beginning) -> Floats:
    scale = np.array([3.0, 3.0, 1.0])
    opened = tolerance(_length(scene.thing - scene.target), 0.02, margin=_DRAWER_METRES)
    closed = scene.target + np.array([0, _DRAWER_METRES, 0])
    margin = _length((closed - beginning.scene.tip) * scale)
    near = tolerance(_length((scene.thing - scene.hand) * scale), 0.01, margin=margin)
    return 5 * (near + opened)


def _hammer(scene: Scene, beginning: Beginning) -> Floats:
    grasp = _grasp(scene, beginning, _along_handle(scene, 0.07), pads_apart=0.02)
    head = scene.thing + np.array([0.16, 0.06, 0.0])
    placed = tolerance(_length(scene.target - head), 0.02, margin=0.2)
    hit = 0.1 * (head[..., 2] > 0.02) + 0.9 * placed
    upright = _upright(scene.turn, (1, 0, 0, 0))
    reward = ((grasp.held + grasp.caged) + 6 * hit) * upright
    return np.where((scene.slid > 0.09) & (reward > 5), 10.0, reward)


REWARDS: dict[str, Callable[[Scene, Beginning], Floats]] = {
    "assembly": _assembly,
    "bin_picking": _bin_picking,
    "button_press_topdown": _button_press_topdown,
    "drawer_open": _drawer_open,
    "hammer": _hammer,
}

SUCCESS: dict[str, Callable[[Scene], NDArray[np.bool_]]] = {
    "assembly": _on_peg,
    "bin_picking": lambda scene: _length(scene.thing - scene.target) <= _RADIUS,
    "button_press_topdown": lambda s: np.abs(s.target[..., 2] - s.thing[..., 2]) <= 0.024,
    "drawer_open": lambda scene: _length(scene.thing - scene.target) <= 0.03,
    "hammer": lambda scene: np.asarray(scene.slid > 0.09),
}
