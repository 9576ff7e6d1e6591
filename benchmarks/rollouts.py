"""Episodes of a policy acting together, against one after the other.

`python -m benchmarks.rollouts` runs a policy with random weights on FrankaKitchen, from the same
states, in turn, several times over: every episode by itself, with one picture through the encoder a
step, and all of them step by step together, with one batch. Both render with the same renderer;
together, a process a core draws a share of the pictures.

`ratio` is episodes a minute together over one after the other. `parts` is the share of the time
that physics, rendering, and embedding take in each.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch

from benchmarks.machine import machine
from benchmarks.planning import PARTS, Clock
from vipl import load_encoder
from vipl.control.opengl import choose_backend
from vipl.control.policies import Policy
from vipl.evaluation.protocols.policy_learning import run_policy
from vipl.evaluation.protocols.protocol import View
from vipl_evaluators.frankakitchen.environment import KitchenEnv
from vipl_evaluators.frankakitchen.tasks import TASKS

NAMES = ("step", "render", "embed")  # of the methods in which the time of PARTS is spent


def timed(clock: Clock, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """Return the call, with its time added to a part's."""

    def run(*args: Any, **options: Any) -> Any:
        with clock.measure(part):
            return call(*args, **options)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default="random:resnet18", help="(random:resnet18)")
    parser.add_argument("--episodes", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count(), help="of physics, and processes"
    )
    parser.add_argument("--pairs", type=int, default=3)
    args = parser.parse_args()
    choose_backend()
    env = KitchenEnv(TASKS["sdoor_open"], image_size=args.image_size, threads=args.threads)
    encoder = load_encoder(args.encoder)
    view = View(env, "left_cam", encoder)
    starts = env.start_states(args.episodes, np.random.default_rng(0))
    torch.manual_seed(0)
    policy = Policy(view.inputs(starts).shape[1], env.action_size, (256, 256)).eval()
    rates: dict[str, list[float]] = {"alone": [], "together": []}
    clocks = {way: Clock() for way in rates}
    originals = (env.step, env.render, encoder.embed)
    for number in range(args.pairs):
        for way, size in (("alone", 1), ("together", args.episodes)):
            for part, name, call in zip(PARTS, NAMES, originals, strict=True):
                setattr(encoder if name == "embed" else env, name, timed(clocks[way], part, call))
            begin = time.perf_counter()
            for first in range(0, args.episodes, size):
                run_policy(view, policy, starts[first : first + size], steps=args.steps)
            rates[way].append(60 * args.episodes / (time.perf_counter() - begin))
        shown = ", ".join(f"{way} {values[-1]:.1f}" for way, values in rates.items())
        print(f"pair {number + 1} of {args.pairs}: {shown} episodes a minute", flush=True)
    env.close()
    pairs = zip(rates["together"], rates["alone"], strict=True)
    total = {way: sum(clock.seconds.values()) for way, clock in clocks.items()}
    line = {
        "name": "rollouts",
        "ratio": round(statistics.median(a / b for a, b in pairs), 2),
        **{way: round(statistics.median(values), 1) for way, values in rates.items()},
        "unit": f"episodes of {args.steps} steps a minute",
        "parts": {
            way: {part: round(s / total[way], 2) for part, s in clock.seconds.items()}
            for way, clock in clocks.items()
        },
        "encoder": args.encoder,
        "image_size": args.image_size,
        "n": args.pairs,
        "machine": machine(),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
