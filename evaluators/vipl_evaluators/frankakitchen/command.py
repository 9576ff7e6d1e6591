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
    parser = commands.add_parser("demos", help="the FrankaKitchen demonstrations that ship with it")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    _add_render(actions)
    _add_generate(actions)
    _add_export(actions)
    _add_verify(actions)


def _add_render(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    render = actions.add_parser("render", help="render them into videos, with a manifest")
    render.add_argument("--out", type=path_argument, required=True, metavar="DIR")
    render.add_argument("--tasks", nargs="+", metavar="TASK", help="such as sdoor_open (all)")
    render.add_argument(
        "--cameras", nargs="+", metavar="CAMERA", help="default, left_cam, right_cam (all)"
    )
    render.add_argument("--size", type=int, default=224, help="side of the frames in pixels (224)")
    render.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes (one a core)"
    )
    render.add_argument("--kinds", nargs="+", metavar="KIND", help=_KINDS)
    render.add_argument(
        "--number", type=int, metavar="N",
        help="the first N of each kind of each task; every fourth is held out (all)",
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
    generate = actions.add_parser("generate", help="plan new ones, on the true state")
    generate.add_argument("--out", type=path_argument, required=True, metavar="DIR")
    generate.add_argument("--tasks", nargs="+", metavar="TASK", help="such as sdoor_open (all)")
    generate.add_argument(
        "--quality", metavar="Q",
        help="instead of planning, follow the demonstrations that ship with it, in seconds: "
        "expert, mixed (a third solves the task, a third leaves off, a third wanders), noisy, or "
        "anywhere (all solve it, beginning with the arm and the object anywhere)",
    )  # fmt: skip
    generate.add_argument(
        "--number", type=int, default=20, metavar="N", help="of --quality, a task (20)"
    )
    generate.add_argument(
        "--first", type=int, metavar="N",
        help="of --quality anywhere, the number in the name of the first: to add to those that are "
        "there (0)",
    )  # fmt: skip
    generate.add_argument(
        "--seed", type=int, metavar="SEED", help="of --quality, of all that is random (0)"
    )
    generate.add_argument(
        "--visited", nargs="+", type=path_argument, metavar="RUN",
        help="of --quality anywhere: half of the clips begin in states that the planner came by in "
        "these runs of vipl eval",
    )  # fmt: skip
    generate.add_argument(
        "--knocked", type=float, metavar="SHARE",
        help="of --quality anywhere: of the other clips, how many begin with one or two other "
        "things moved, as by a planner that knocked them (0.5)",
    )  # fmt: skip
    generate.add_argument(
        "--far", type=float, metavar="SHARE",
        help="of --quality anywhere: of the other clips that do not begin at the usual start, how "
        "many begin with the arm far from every pose of a demonstration (0)",
    )  # fmt: skip
    for kind, count, text in (
        ("starts", 4, "from the usual start"),
        ("recoveries", 4, "the arm starting elsewhere, mostly near where it ends"),
        ("detours", 0, "the arm first going by poses that are of no use"),
        ("knocks", 0, "detours on which the arm pushes something else away"),
        ("halfway", 0, "recoveries in which a part of the object's way is done"),
    ):
        generate.add_argument(
            f"--{kind}", type=int, default=count, metavar="N", help=f"a task, {text} ({count})"
        )
    generate.add_argument(
        "--attempts", type=int, default=5, metavar="N",
        help="at each, with ever more samples (5)",
    )  # fmt: skip
    generate.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes (one a core)"
    )
    generate.set_defaults(run=_checked(_generate))


def _add_export(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    export = actions.add_parser("export", help="write them as Minari data sets, one a task")
    export.add_argument(
        "--out", type=path_argument, metavar="DIR",
        help="folder of Minari data sets ($MINARI_DATASETS_PATH, else ~/.minari/datasets)",
    )  # fmt: skip
    export.add_argument("--tasks", nargs="+", metavar="TASK", help="such as sdoor_open (all)")
    export.add_argument("--kinds", nargs="+", metavar="KIND", help=_KINDS)
    _add_folder(export)
    export.set_defaults(run=_checked(_export))


def _add_verify(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verify = actions.add_parser(
        "verify", help="replay them with the installed MuJoCo, and plan anew what does not end so"
    )
    verify.add_argument("--tasks", nargs="+", metavar="TASK", help="such as sdoor_open (all)")
    verify.add_argument("--kinds", nargs="+", metavar="KIND", help=_KINDS)
    _add_folder(verify)
    verify.add_argument(
        "--replan", type=path_argument, metavar="DIR",
        help="write those that end as recorded, and others in the place of the rest, to this "
        "folder, for --folder (only say which they are)",
    )  # fmt: skip
    verify.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes (one a core)"
    )
    verify.set_defaults(run=_checked(_verify))


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--folder", type=path_argument, metavar="DIR",
        help="of demonstrations that `vipl demos generate` or `verify` made (those that ship)",
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
