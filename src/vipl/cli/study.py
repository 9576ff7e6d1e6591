"""`vipl study`: several encoders, trained and evaluated alike."""

from vipl.lazy import Commands, lazily


def add_study(commands: Commands) -> None:
    """Add `vipl study run`, `vipl study status` and `vipl study page`."""
    parser = commands.add_parser(
        "study", help="train and evaluate several encoders in the same way, and report"
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    for name, text in (
        ("run", "run what is left of a study, and write its page"),
        ("status", "show which steps of a study are done"),
        ("page", "write the page of what has been run so far"),
    ):
        action = actions.add_parser(
            name,
            help=text,
            usage=f"vipl study {name} FILE [key=value …]",
            description=f"{text[0].upper()}{text[1:]}.",
        )
        action.add_argument(
            "file", metavar="FILE", help="YAML file of the study, or the name of one that ships"
        )
        if name == "run":
            action.add_argument(
                "--only", action="append", metavar="STEP",
                help="only these steps, e.g. evaluate/curves or 'train/vip/*', and what they need",
            )  # fmt: skip
            action.add_argument(
                "--again", action="append", metavar="STEP",
                help="remove the output of these steps and of all that depend on them",
            )  # fmt: skip
            action.add_argument(
                "--jobs",
                type=int,
                default=1,
                metavar="N",
                help="steps to run in parallel (default: 1)",
            )
            action.add_argument(
                "--dry-run", action="store_true", help="print the commands and stop"
            )
        action.set_defaults(run=lazily("vipl.study.command", name), overrides=[])
