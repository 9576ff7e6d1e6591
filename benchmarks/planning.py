"""One planning step on the kitchen: ours against the way of the released code.

`python -m benchmarks.planning` scores the same sampled plans twice, on the same cores, with the
same physics and the same untrained encoder, in turn, several times over:

- ours: plans are rolled out together, the last frame of each is drawn, all are embedded at once;
- the released algorithm, written anew from its description: plans one after another by `mj_step`,
  every step of every plan drawn and embedded three times, one picture at a time, with the model's
  own settings of the renderer (a frame buffer of 2560 x 1920, its samples a pixel, shadows and
  reflections). Gymnasium's off-screen viewer draws.

The latter is also timed with our settings of the renderer, which leaves the algorithm's share. In
software it takes a quarter of an hour or more as shipped, so only `--plans` of the plans are run,
and the times scaled up to all: plans are alike and cost the same. One core by default, as a cell
of `vipl eval` has; several are given to both. At the end, pictures a second of
gymnasium-robotics' own `render()` beside ours.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import gymnasium
import mujoco
import numpy as np
import torch
from gymnasium.envs.mujoco.mujoco_rendering import OffScreenViewer
from numpy.typing import NDArray

from benchmarks.machine import machine
from vipl.control.mppi import Floats, Planner, filtered_noise
from vipl.control.opengl import choose_backend
from vipl.models import Encoder
from vipl.rewards import GoalReward, as_images
from vipl_evaluators.frankakitchen.environment import KitchenEnv
from vipl_evaluators.frankakitchen.scene import kitchen_spec
from vipl_evaluators.frankakitchen.tasks import TASKS

TASK, CAMERA = TASKS["sdoor_open"], "left_cam"
BACKBONE, INPUT_SIZE = "resnet10t", 96
PICTURES_PER_STEP = 3
PARTS = ("physics", "render", "embed")

Split = dict[str, float]
"""Seconds of each part."""


class Clock:
    """Adds up the seconds that each part of a planning step takes."""

    def __init__(self) -> None:
        self.seconds: Split = dict.fromkeys(PARTS, 0.0)

    @contextmanager
    def measure(self, part: str) -> Iterator[None]:
        """Add the time that the block takes."""
        start = time.perf_counter()
        yield
        self.seconds[part] += time.perf_counter() - start


class Scene:
    """What both ways share: the kitchen, a start, plans, and a goal for a small encoder."""

    def __init__(self, planner: Planner, *, size: int, cores: int) -> None:
        self.env = KitchenEnv(TASK, image_size=size, threads=cores)
        self.start = self.env.start_state()
        noise = filtered_noise(np.random.default_rng(0), planner, self.env.action_size)
        self.plans = np.clip(noise, -1, 1)
        torch.manual_seed(0)
        encoder = Encoder(BACKBONE, output_dim=64, image_size=INPUT_SIZE)
        qpos = self.env.start_qpos()
        qpos[TASK.qpos_index] = TASK.goal
        goal = self.env.render(self.env.state(qpos)[None], CAMERA)
        self.reward = GoalReward(encoder, as_images(goal))


def score_ours(scene: Scene, plans: Floats, clock: Clock) -> Floats:
    """Score plans [N, H, A] in one go."""
    with clock.measure("physics"):
        states = scene.env.rollout(scene.start, plans)
    with clock.measure("render"):
        pictures = scene.env.render(states[:, -1], CAMERA)
    with clock.measure("embed"):
        return np.asarray(scene.reward.value(as_images(pictures)).double())


class Released:
    """The released algorithm's way.

    Args:
        scene: To plan in.
        as_shipped: Whether to draw with the model's own settings; else with ours.
    """

    def __init__(self, scene: Scene, *, as_shipped: bool = True) -> None:
        self.scene = scene
        size = scene.env.image_size
        self.model = kitchen_spec().compile() if as_shipped else scene.env.model
        self.data = mujoco.MjData(self.model)
        self.viewer = OffScreenViewer(self.model, self.data, size, size)
        if not as_shipped:
            for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
                self.viewer.scn.flags[flag] = False
        self.camera = self.model.camera(CAMERA).id

    def score(self, plans: Floats, clock: Clock) -> Floats:
        """Score plans [N, H, A] one by one: the value of each one's last picture."""
        return np.array([self._score_one(plan, clock) for plan in plans])

    def _score_one(self, plan: Floats, clock: Clock) -> float:
        self.scene.env.set_state(self.data, self.scene.start)
        for action in plan:
            with clock.measure("physics"):
                self._act(action)
            for _ in range(PICTURES_PER_STEP):
                with clock.measure("render"):
                    picture = self._draw()
                with clock.measure("embed"):
                    value = self.scene.reward.value(as_images(picture[None]))
        return float(value[0])

    def _act(self, action: Floats) -> None:
        env = self.scene.env
        self.data.ctrl[:] = env.controls(env.get_state(self.data)[None], action[None])[0]
        for _ in range(env.steps_per_action):
            mujoco.mj_step(self.model, self.data)
        mujoco.mj_forward(self.model, self.data)

    def _draw(self) -> NDArray[np.uint8]:
        self.viewer.make_context_current()
        picture = self.viewer.render("rgb_array", camera_id=self.camera)
        return np.ascontiguousarray(picture)

    def close(self) -> None:
        """Free the OpenGL context."""
        self.viewer.free()


def pictures_per_second(draw: Callable[[], object], number: int) -> float:
    draw()
    start = time.perf_counter()
    for _ in range(number):
        draw()
    return number / (time.perf_counter() - start)


def compare_pictures(scene: Scene, number: int) -> dict[str, float]:
    """Return pictures a second: ours, and gymnasium-robotics' at two sizes."""
    size = scene.env.image_size
    states = scene.start[None]
    ours = pictures_per_second(lambda: scene.env.render(states, CAMERA), 10 * number)
    speeds = {f"ours {size} x {size}": ours}
    if mujoco.mj_version() >= 3012000:
        print("gymnasium-robotics' own kitchen does not run with mujoco 3.12 and later: left out")
        return speeds
    import gymnasium_robotics  # prints a notice about other environments

    gymnasium.register_envs(gymnasium_robotics)
    options: dict[str, Any]
    for label, options in (("default", {}), ("asked for", {"width": size, "height": size})):
        env = gymnasium.make("FrankaKitchen-v1", render_mode="rgb_array", **options)
        env.reset(seed=0)
        height, width = np.shape(env.render())[:2]
        name = f"gymnasium {width} x {height} ({label})"
        speeds[name] = pictures_per_second(env.render, number)
        env.close()
    return speeds


class Ways:
    """Ours and the released one, and the latter with our drawing: the algorithm's share alone.

    Args:
        scene: To plan in.
        plans: How many of the scene's the released way runs.
    """

    def __init__(self, scene: Scene, plans: int) -> None:
        self.scene = scene
        self.plans = scene.plans[:plans]
        self.released = Released(scene)
        self.redrawn = Released(scene, as_shipped=False)

    def warm_up(self) -> None:
        """Let each way draw and embed once."""
        score_ours(self.scene, self.plans[:1], Clock())
        for way in (self.released, self.redrawn):
            way.score(self.plans[:1, :1], Clock())

    def measure(self) -> dict[str, Split]:
        """Return the seconds of a planning step, those of the released way scaled up."""
        clocks = {"ours": Clock(), "released": Clock(), "redrawn": Clock()}
        score_ours(self.scene, self.scene.plans, clocks["ours"])
        self.released.score(self.plans, clocks["released"])
        self.redrawn.score(self.plans, clocks["redrawn"])
        scale = len(self.scene.plans) / len(self.plans)
        return {
            name: {part: s * (1 if name == "ours" else scale) for part, s in clock.seconds.items()}
            for name, clock in clocks.items()
        }

    def close(self) -> None:
        """Free the OpenGL contexts."""
        self.released.close()
        self.redrawn.close()


def use_cores(cores: int) -> None:
    """Keep this process, and every thread it starts from now on, on a number of cores."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    torch.set_num_threads(cores)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--plans", type=int, default=1, help="run the released way (1)")
    parser.add_argument("--pairs", type=int, default=3, help="measured in turn (3)")
    parser.add_argument("--samples", type=int, default=32, help="plans of a step (32)")
    parser.add_argument("--horizon", type=int, default=12, help="actions of a plan (12)")
    parser.add_argument("--size", type=int, default=224, help="of a picture, in pixels (224)")
    parser.add_argument("--cores", type=int, default=1, help="for both (1)")
    parser.add_argument("--pictures", type=int, default=3, help="for speeds, 0 for none (3)")
    return parser.parse_args()


def total(split: Split) -> float:
    return sum(split.values())


def summarise(rounds: Sequence[dict[str, Split]]) -> dict[str, Any]:
    """Return medians over the rounds, by way and part, and of the ratios to ours."""
    result: dict[str, Any] = {"name": "planning", "n": len(rounds)}
    for name, key in (("released", "ratio"), ("redrawn", "ratio_redrawn")):
        result[key] = statistics.median(total(r[name]) / total(r["ours"]) for r in rounds)
    for name in rounds[0]:
        result[f"{name}_s"] = statistics.median(total(r[name]) for r in rounds)
        result[f"{name}_parts_s"] = {
            part: statistics.median(r[name][part] for r in rounds) for part in PARTS
        }
    return result


def print_summary(result: dict[str, Any]) -> None:
    for name, label in (
        ("ours", "ours"),
        ("released", "released"),
        ("redrawn", "released, drawn with our settings"),
    ):
        parts = ", ".join(f"{p} {seconds:.3g}" for p, seconds in result[f"{name}_parts_s"].items())
        print(f"{label}: {result[f'{name}_s']:.3g} s ({parts})")
    print(f"ratio {result['ratio']:.0f}; drawn with our settings {result['ratio_redrawn']:.1f}")


def main() -> None:
    args = parse_arguments()
    use_cores(args.cores)
    choose_backend()
    planner = Planner(samples=args.samples, horizon_steps=args.horizon)
    scene = Scene(planner, size=args.size, cores=args.cores)
    ways = Ways(scene, args.plans)
    ways.warm_up()
    print(
        f"a planning step: {args.samples} samples, horizon {args.horizon}, {args.size} px, "
        f"{BACKBONE} at {INPUT_SIZE} px, {args.cores} core(s); the released way ran "
        f"{args.plans} of the {args.samples} plans, scaled up"
    )
    result = summarise([ways.measure() for _ in range(args.pairs)])
    print_summary(result)
    result["pictures_per_s"] = compare_pictures(scene, args.pictures) if args.pictures else {}
    for name, speed in result["pictures_per_s"].items():
        print(f"pictures a second, {name}: {speed:.1f}")
    ways.close()
    scene.env.close()
    result["machine"] = machine()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
