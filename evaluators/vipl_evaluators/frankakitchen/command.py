"""`vipl demos`: what the command line offers around the demonstrations."""

import argparse
import os
from pathlib import Path


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `vipl demos render`."""
    parser = commands.add_parser("demos", help="the FrankaKitchen demonstrations that ship with it")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    render = actions.add_parser("render", help="render them into videos, with a manifest")
    render.add_argument("--out", type=Path, required=True, metavar="DIR")
    render.add_argument("--tasks", nargs="+", metavar="TASK", help="such as sdoor_open (all)")
    render.add_argument(
        "--cameras", nargs="+", metavar="CAMERA", help="default, left_cam, right_cam (all)"
    )
    render.add_argument("--size", type=int, default=224, help="side of the frames in pixels (224)")
    render.add_argument(
        "--after-success", type=int, default=4, metavar="FRAMES",
        help="frames kept after the first success; what follows is jitter (4)",
    )  # fmt: skip
    render.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes (one a core)"
    )
    render.set_defaults(run=_render)


def _render(args: argparse.Namespace) -> None:
    from vipl_evaluators.frankakitchen.render import render_demonstrations

    render_demonstrations(
        args.out,
        tasks=args.tasks,
        cameras=args.cameras,
        size=args.size,
        after_success=args.after_success,
        workers=args.workers,
    )
