"""The arguments of `vipl configs`.

Imports nothing heavy.
"""

from vipl.config.paths import path_argument
from vipl.lazy import Commands, lazily


def add_configs(commands: Commands) -> None:
    """Add `vipl configs`, `vipl configs show` and `vipl configs copy`."""
    parser = commands.add_parser(
        "configs",
        help="list, show or copy the configurations that ship with vipl",
        description="List the configurations, recipes and studies that ship with the package. "
        "Commands take them by name: vipl fit --config folder.",
    )
    parser.set_defaults(run=lazily("vipl.config.command", "show_all"))
    actions = parser.add_subparsers(metavar="[list | show | copy]")
    listed = actions.add_parser("list", help="list them (the default)")
    listed.set_defaults(run=lazily("vipl.config.command", "show_all"))
    shown = actions.add_parser("show", help="print one")
    shown.add_argument("name", metavar="NAME", help="e.g. folder, or fit/folder")
    shown.set_defaults(run=lazily("vipl.config.command", "show"))
    copied = actions.add_parser("copy", help="copy one")
    copied.add_argument("name", metavar="NAME", help="e.g. folder, or fit/folder")
    copied.add_argument(
        "to", nargs="?", type=path_argument, metavar="DEST",
        help="a folder, or a new file (default: NAME.yaml)",
    )  # fmt: skip
    copied.set_defaults(run=lazily("vipl.config.command", "copy"))
