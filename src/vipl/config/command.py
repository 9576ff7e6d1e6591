"""`vipl configs`: what ships, shown and copied."""

import argparse
from pathlib import Path

from vipl.config.shipped import KINDS, Kind, Shipped, find, list_shipped
from vipl.console import Console
from vipl.errors import UserError
from vipl.files import write_atomically
from vipl.names import choose

_USES: dict[Kind, str] = {
    "fit": "vipl fit --config NAME",
    "eval": "vipl eval --config NAME",
    "recipe": "vipl manifest build --recipe NAME",
    "study": "vipl study run NAME",
}


def show_all(args: argparse.Namespace) -> None:
    """List what ships."""
    console = Console(highlight=False, soft_wrap=True, markup=False)
    known = list_shipped()
    width = max(len(one.name) for one in known)
    for kind in KINDS:
        console.print(f"{kind}: {_USES[kind]}")
        for one in known:
            if one.kind == kind:
                console.print(f"  {one.name:{width}}  {one.about}")
    console.print(
        "`vipl configs copy NAME` makes a copy to change; where several kinds have a name,"
    )
    console.print("the first one is meant, and KIND/NAME is any, such as eval/in_domain.")


def show(args: argparse.Namespace) -> None:
    """Print a file."""
    print(_named(args.name).path.read_text(encoding="utf-8"), end="")


def copy(args: argparse.Namespace) -> None:
    """Copy a file to a folder, or to a new file.

    Raises:
        UserError: If there is no such name, or a file is there already.
    """
    source = _named(args.name)
    own_name = f"{source.name.rpartition('/')[2]}.yaml"
    to: Path = args.to if args.to is not None else Path(own_name)
    if to.is_dir() or (args.to is not None and not to.suffix):
        to = to / own_name
    if to.exists():
        raise UserError(f"{to} is there already: name another file, or remove it")
    content = source.path.read_bytes()
    write_atomically(to, lambda path: path.write_bytes(content))
    print(f"{to}: a copy of {source.full_name}; {_USES[source.kind].replace('NAME', str(to))}")


def _named(name: str) -> Shipped:
    found = find(name)
    if found is None:
        known = list_shipped()
        choose("configuration", [name], [*(k.name for k in known), *(k.full_name for k in known)])
    assert found is not None
    return found
