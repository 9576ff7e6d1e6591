"""Pictures of the kitchen with the arm's meshes thinned, against the meshes as they are.

`python -m benchmarks.meshes` draws states of a demonstration both ways, in turn, several times
over, at two sizes, and compares the pictures: the mean absolute difference of their values (0 to
255), and the share of pixels that differ by more than 10 in any colour.
"""

import argparse
import json
import statistics
import time
from typing import Any

import numpy as np

from benchmarks.machine import machine
from vipl.control.environment import Floats
from vipl.control.meshes import count_triangles, thin_meshes
from vipl.control.opengl import choose_backend
from vipl_evaluators.frankakitchen.demonstrations import load_index
from vipl_evaluators.frankakitchen.environment import KitchenEnv
from vipl_evaluators.frankakitchen.scene import CAMERAS
from vipl_evaluators.frankakitchen.tasks import TASKS

TASK = "sdoor_open"
VISIBLE = 10  # difference of a colour, of 255


def draw_all(env: KitchenEnv, states: Floats) -> tuple[float, Floats]:
    """Draw states through every camera; return milliseconds a picture, and the pictures."""
    start = time.perf_counter()
    pictures = np.concatenate([env.render(states, camera) for camera in CAMERAS])
    return 1000 * (time.perf_counter() - start) / len(pictures), pictures.astype(np.float64)


def compare(size: int, args: argparse.Namespace) -> dict[str, Any]:
    """Draw with both, in turn, at one size."""
    grids = {"baseline": None, "thinned": args.mesh_grid_m}
    envs = {
        way: KitchenEnv(TASKS[TASK], image_size=size, mesh_grid_m=grid)
        for way, grid in grids.items()
    }
    demo = next(demo for demo in load_index() if demo.task_name == TASK)
    chosen = np.linspace(0, demo.frames - 1, args.states).astype(int)
    states = np.array([envs["baseline"].state(demo.arrays["qpos"][index]) for index in chosen])
    times: dict[str, list[float]] = {way: [] for way in envs}
    pictures = {}
    for env in envs.values():
        draw_all(env, states[:1])  # makes the context
    for _ in range(args.pairs):
        for way, env in envs.items():
            milliseconds, pictures[way] = draw_all(env, states)
            times[way].append(milliseconds)
    difference = np.abs(pictures["baseline"] - pictures["thinned"])
    pairs = zip(times["baseline"], times["thinned"], strict=True)
    result = {
        "image_size": size,
        "ratio": round(statistics.median(slow / fast for slow, fast in pairs), 2),
        **{f"{way}_ms": round(statistics.median(values), 1) for way, values in times.items()},
        "mean_difference": round(float(difference.mean()), 3),
        "differing_pixels": round(float((difference.max(axis=-1) > VISIBLE).mean()), 4),
    }
    for env in envs.values():
        env.close()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mesh-grid-m", type=float, default=0.006, help="in metres (0.006)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[96, 224], help="in pixels")
    parser.add_argument("--states", type=int, default=10, help="through each of three cameras")
    parser.add_argument("--pairs", type=int, default=5)
    args = parser.parse_args()
    choose_backend()
    model = KitchenEnv(TASKS[TASK], image_size=16).model
    sizes = [compare(size, args) for size in args.sizes]
    for result in sizes:
        print(json.dumps(result), flush=True)
    line = {
        "name": "meshes",
        "ratio": sizes[0]["ratio"],
        "sizes": sizes,
        "mesh_grid_m": args.mesh_grid_m,
        "triangles": [
            count_triangles(model),
            count_triangles(thin_meshes(model, args.mesh_grid_m)),
        ],
        "n": args.pairs,
        "machine": machine(),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
