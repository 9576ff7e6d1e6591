"""`vipl study`: several encoders, trained and evaluated alike."""

from vipl.lazy import Commands, lazily


def add_study(commands: Commands) -> None:
    """Add `vipl study run`, `vipl study status` and `vipl study page`."""
    parser = commands.add_parser(
        "study", help="train and evaluate several encoders alike, and write a page of the outcome"
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
        action.add_argument("file", metavar="FILE", help="of the study, YAML, or one that ships")
        if name == "run":
            action.add_argument(
                "--only", action="append", metavar="STEP",
                help="these steps, such as evaluate/curves or 'train/vip/*', and what they need",
            )  # fmt: skip
            action.add_argument(
                "--again", action="append", metavar="STEP",
                help="remove what these steps, and those that follow from them, have made",
            )  # fmt: skip
            action.add_argument(
                "--jobs", type=int, default=1, metavar="N", help="steps that run at a time (1)"
            )
            action.add_argument("--dry-run", action="store_true", help="print the commands only")
        action.set_defaults(run=lazily("vipl.study.command", name), overrides=[])
