"""`vipl demos`: what the command line offers around the demonstrations."""

import argparse
import os
from collections.abc import Callable

from vipl.config.paths import path_argument
from vipl.control.opengl import check_setting
from vipl.errors import UserError

_KINDS = "start, recovery, detour, knock, halfway, expert, half, wandering, noisy, anywhere (all)"


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `vipl demos render`, `generate`, `export` and `verify`."""
    parser = commands.add_parser(
        "demos", help="render, generate or export the FrankaKitchen demonstrations"
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    _add_render(actions)
    _add_generate(actions)
    _add_export(actions)
    _add_verify(actions)


def _add_render(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    render = actions.add_parser("render", help="render them as videos, with a manifest")
    render.add_argument("--out", type=path_argument, required=True, metavar="DIR")
    render.add_argument("--tasks", nargs="+", metavar="TASK", help="e.g. sdoor_open (default: all)")
    render.add_argument(
        "--cameras", nargs="+", metavar="CAMERA", help="default, left_cam, right_cam (default: all)"
    )
    render.add_argument("--size", type=int, default=224, help="frame size in pixels (default: 224)")
    render.add_argument(
        "--workers",
        type=int,
        default=os.cpu_count() or 1,
        help="worker processes (default: one per core)",
    )
    render.add_argument("--kinds", nargs="+", metavar="KIND", help=_KINDS)
    render.add_argument(
        "--number", type=int, metavar="N",
        help="the first N of each kind and task; every fourth is held out (default: all)",
    )  # fmt: skip
    render.add_argument(
        "--mesh-grid-m", type=float, metavar="METRES",
        help="draw the arm's meshes with their vertices merged in a grid of this width, about 1.6 "
        "times as fast with 0.006; evaluate with the same mesh_grid_m (as they are)",
    )  # fmt: skip
    _add_folder(render)
    render.add_argument(
        "--with-shipped", action="store_true", help="those that ship with it beside --folder's"
    )
    render.set_defaults(run=_checked(_render))


def _add_generate(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    generate = actions.add_parser("generate", help="plan new ones with the ground-truth state")
    generate.add_argument("--out", type=path_argument, required=True, metavar="DIR")
    generate.add_argument(
        "--tasks", nargs="+", metavar="TASK", help="e.g. sdoor_open (default: all)"
    )
    generate.add_argument(
        "--quality", metavar="Q",
        help="do not plan, but follow the shipped demonstrations, which takes seconds: "
        "expert, mixed (a third solves the task, a third stops early, a third wanders), noisy, or "
        "anywhere (all solve it; arm and object start anywhere)",
    )  # fmt: skip
    generate.add_argument(
        "--number",
        type=int,
        default=20,
        metavar="N",
        help="with --quality: how many per task (default: 20)",
    )
    generate.add_argument(
        "--first", type=int, metavar="N",
        help="with --quality anywhere: number in the name of the first, to add to those that are "
        "there (default: 0)",
    )  # fmt: skip
    generate.add_argument(
        "--seed", type=int, metavar="SEED", help="with --quality: random seed (default: 0)"
    )
    generate.add_argument(
        "--visited", nargs="+", type=path_argument, metavar="RUN",
        help="with --quality anywhere: half of the clips begin in states that the planner visited "
        "in these runs of vipl eval",
    )  # fmt: skip
    generate.add_argument(
        "--knocked", type=float, metavar="SHARE",
        help="with --quality anywhere: share of the other clips that begin with one or two other "
        "objects moved, as if the planner had knocked them (default: 0.5)",
    )  # fmt: skip
    generate.add_argument(
        "--far", type=float, metavar="SHARE",
        help="with --quality anywhere: share of the clips with another start that begin with "
        "the arm far from every pose of a demonstration (default: 0)",
    )  # fmt: skip
    for kind, count, text in (
        ("starts", 4, "from the usual start"),
        ("recoveries", 4, "with the arm starting elsewhere, mostly near its end pose"),
        ("detours", 0, "with the arm passing useless poses first"),
        ("knocks", 0, "detours on which the arm pushes another object"),
        ("halfway", 0, "recoveries with the object already part of the way"),
    ):
        generate.add_argument(
            f"--{kind}",
            type=int,
            default=count,
            metavar="N",
            help=f"per task, {text} (default: {count})",
        )
    generate.add_argument(
        "--attempts", type=int, default=5, metavar="N",
        help="attempts per demonstration, each with more samples (default: 5)",
    )  # fmt: skip
    generate.add_argument(
        "--workers",
        type=int,
        default=os.cpu_count() or 1,
        help="worker processes (default: one per core)",
    )
    generate.set_defaults(run=_checked(_generate))


def _add_export(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    export = actions.add_parser("export", help="write them as Minari data sets, one per task")
    export.add_argument(
        "--out", type=path_argument, metavar="DIR",
        help="folder of Minari data sets (default: $MINARI_DATASETS_PATH, else ~/.minari/datasets)",
    )  # fmt: skip
    export.add_argument("--tasks", nargs="+", metavar="TASK", help="e.g. sdoor_open (default: all)")
    export.add_argument("--kinds", nargs="+", metavar="KIND", help=_KINDS)
    _add_folder(export)
    export.set_defaults(run=_checked(_export))


def _add_verify(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verify = actions.add_parser(
        "verify",
        help="replay them with the installed MuJoCo, and replan those that end differently",
    )
    verify.add_argument("--tasks", nargs="+", metavar="TASK", help="e.g. sdoor_open (default: all)")
    verify.add_argument("--kinds", nargs="+", metavar="KIND", help=_KINDS)
    _add_folder(verify)
    verify.add_argument(
        "--replan", type=path_argument, metavar="DIR",
        help="write those that end as recorded, and replanned ones for the rest, to this "
        "folder, for --folder (default: only list them)",
    )  # fmt: skip
    verify.add_argument(
        "--workers",
        type=int,
        default=os.cpu_count() or 1,
        help="worker processes (default: one per core)",
    )
    verify.set_defaults(run=_checked(_verify))


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--folder", type=path_argument, metavar="DIR",
        help="demonstrations made by `vipl demos generate` or `verify` (default: those that ship)",
    )  # fmt: skip


def _checked(run: Callable[[argparse.Namespace], None]) -> Callable[[argparse.Namespace], None]:
    def check_and_run(args: argparse.Namespace) -> None:
        check_setting()  # before mujoco is imported
        run(args)

    return check_and_run


def _export(args: argparse.Namespace) -> None:
    from vipl_evaluators.frankakitchen.export import export_demonstrations

    export_demonstrations(args.out, tasks=args.tasks, kinds=args.kinds, folder=args.folder)


def _verify(args: argparse.Namespace) -> None:
    from vipl_evaluators.frankakitchen.verify import verify_demonstrations

    verify_demonstrations(
        tasks=args.tasks,
        kinds=args.kinds,
        folder=args.folder,
        replan=args.replan,
        workers=args.workers,
    )


def _generate(args: argparse.Namespace) -> None:
    if args.quality is not None:
        from vipl_evaluators.frankakitchen.qualities import write_trajectories

        write_trajectories(
            args.out,
            quality=args.quality,
            tasks=args.tasks,
            number=args.number,
            first=args.first,
            seed=args.seed or 0,
            runs=args.visited or (),
            knocked=args.knocked,
            far=args.far,
            workers=args.workers,
        )
        return
    if args.seed is not None:
        raise UserError("--seed is of --quality: name one, what is planned has seeds of its own")
    for name in ("first", "visited", "knocked", "far"):
        if getattr(args, name) is not None:
            raise UserError(f"--{name} is of --quality anywhere: name that")
    from vipl_evaluators.frankakitchen.generate import generate_demonstrations

    generate_demonstrations(
        args.out,
        tasks=args.tasks,
        starts=args.starts,
        recoveries=args.recoveries,
        detours=args.detours,
        knocks=args.knocks,
        halfway=args.halfway,
        attempts=args.attempts,
        workers=args.workers,
    )


def _render(args: argparse.Namespace) -> None:
    from vipl_evaluators.frankakitchen.render import render_demonstrations

    render_demonstrations(
        args.out,
        tasks=args.tasks,
        cameras=args.cameras,
        kinds=args.kinds,
        number=args.number,
        folder=args.folder,
        with_shipped=args.with_shipped,
        size=args.size,
        mesh_grid_m=args.mesh_grid_m,
        workers=args.workers,
    )
