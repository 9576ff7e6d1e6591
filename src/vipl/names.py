"""Names that a user may choose from."""

import difflib
from collections.abc import Iterable, Sequence

from vipl.errors import UserError


def choose(kind: str, wanted: Sequence[str] | None, known: Iterable[str]) -> list[str]:
    """Return the wanted names, or all known ones.

    Args:
        kind: What they name, for the message.
        wanted: Names, or None for all.
        known: All names.

    Raises:
        UserError: If a name is unknown; near ones are listed.
    """
    names = list(known)
    for name in wanted or ():
        if name not in names:
            near = difflib.get_close_matches(name, names, n=3) or names
            raise UserError(f"there is no {kind} {name!r}: expected {', '.join(near)}")
    return list(dict.fromkeys(wanted)) if wanted else names
