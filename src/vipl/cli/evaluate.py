"""`vipl eval` and `vipl compare`."""

from vipl.config.paths import path_argument, text_argument
from vipl.lazy import Commands, lazily


def add_eval(commands: Commands) -> None:
    """Add `vipl eval`."""
    parser = commands.add_parser(
        "eval",
        add_help=False,
        help="evaluate an encoder as a reward on the tasks of a suite",
        usage="vipl eval --suite SUITE --encoder ENCODER [--config FILE …] [key=value …]",
        description="Evaluate an encoder on a suite of tasks, and with it the controls: the "
        "ground-truth state and an untrained network.",
    )
    parser.add_argument("--suite", metavar="S", help="an installed suite, or module:Class")
    parser.add_argument(
        "--encoder",
        type=text_argument,
        metavar="E",
        help="a folder, a checkpoint, timm:NAME, oracle, random[:NAME]",
    )
    parser.add_argument(
        "--protocol", metavar="P", help="how the encoder is used (default: the first of the suite)"
    )
    parser.add_argument("--config", "-c", action="append", default=[], metavar="FILE")
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="worker processes (default: one per core); 0: run in this process",
    )
    parser.add_argument(
        "--launcher", choices=("local", "ray"), help="where cells run (default: local)"
    )
    parser.add_argument("--device", metavar="D", help="device of the encoders (default: cpu)")
    parser.add_argument(
        "--out", type=text_argument, metavar="DIR", help="folder of all results (default: results)"
    )
    parser.add_argument(
        "--run-id", metavar="ID", help="folder of this run (default: derived from the settings)"
    )
    parser.add_argument("--list", action="store_true", help="show suites, protocols and tasks")
    parser.add_argument(
        "--print-config", action="store_true", help="print the resolved configuration and stop"
    )
    parser.add_argument(
        "--help", "-h", action="store_true", help="show this and every key, and stop"
    )
    parser.set_defaults(
        run=lazily("vipl.evaluation.running.command", "run"), parser=parser, overrides=[]
    )


def add_compare(commands: Commands) -> None:
    """Add `vipl compare`."""
    parser = commands.add_parser(
        "compare",
        help="compare the encoders of several evaluations",
        description="Compare evaluations of one suite, over the cells that all of them have. The "
        "first is what the others are measured against.",
    )
    parser.add_argument(
        "runs", nargs="+", type=text_argument, metavar="RUN",
        help="a folder that `vipl eval` wrote, or its records.jsonl; [LABEL=]RUN",
    )  # fmt: skip
    parser.add_argument(
        "--metric", metavar="M", help="metric to compare (default: the primary one)"
    )
    parser.add_argument(
        "--out",
        type=path_argument,
        metavar="DIR",
        help="also write compare.csv and compare.html there",
    )
    parser.set_defaults(run=lazily("vipl.evaluation.reports.comparison.command", "run"))
