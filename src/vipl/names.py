"""Names that a user may choose from."""

import difflib
from collections.abc import Iterable, Sequence

from vipl.errors import UserError

_SHOWN = 20
_MAX_BYTES = 200


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
            raise UserError(f"there is no {kind} {name!r}: {_expected(name, names)}")
    return list(dict.fromkeys(wanted)) if wanted else names


def is_plain(name: str) -> bool:
    """Whether a name can be one file's or folder's, anywhere, and stands on a line as it is."""
    return (
        0 < len(name.encode(errors="replace")) <= _MAX_BYTES
        and not name.startswith(".")
        and name == name.strip()
        and name.isprintable()
        and not set(name) & set("/\\")
    )


def plain(name: str) -> str:
    """Return a name that `is_plain`, near another."""
    kept = "".join(c if c.isprintable() and c not in "/\\ " else "_" for c in name)
    return kept.lstrip(".")[: _MAX_BYTES // 4] or "_"


def _expected(name: str, names: Sequence[str]) -> str:
    if not names:
        return "there are none"
    near = difflib.get_close_matches(name, names, n=3)
    rest = len(names) - _SHOWN
    more = f" and {rest} others" if rest > 0 and not near else ""
    return f"expected {', '.join(near or names[:_SHOWN])}{more}"
