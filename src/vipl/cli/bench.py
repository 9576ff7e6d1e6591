"""`vipl bench`: what bounds a run, the step or the data."""

import argparse

from vipl.lazy import Commands, lazily, let_threads_sleep


def add_bench(commands: Commands) -> None:
    """Add `vipl bench step` and `vipl bench data`."""
    parser = commands.add_parser(
        "bench", help="measure whether data loading or the training step limits a run"
    )
    actions = parser.add_subparsers(metavar="WHAT", required=True)
    for what, text in (
        ("step", "the training step: images/s, its parts, memory"),
        ("data", "the data: clips/s with all workers, decoding, resampling"),
    ):
        action = actions.add_parser(
            what,
            help=text,
            usage=f"vipl bench {what} --config FILE [--config FILE …] [key=value …]",
            description=f"Measure {text}; and say which of step and data starves the other.",
        )
        action.add_argument("--config", "-c", action="append", default=[], metavar="FILE")
        action.add_argument("--steps", type=int, default=10, help="steps to time (default: 10)")
        action.add_argument("--warmup", type=int, default=3, help="warm-up steps (default: 3)")
        action.add_argument(
            "--seconds", type=float, default=5.0, help="how long to load data (default: 5)"
        )
        action.set_defaults(run=run_bench, what=what, overrides=[])


def run_bench(args: argparse.Namespace) -> None:
    """Measure the step or the data."""
    let_threads_sleep()
    lazily("vipl.training.bench.command", f"run_{args.what}")(args)
