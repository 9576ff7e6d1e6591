"""Paths as users write them: with `~`, and with variables of the environment."""

import argparse
import os
import re
from pathlib import Path

from vipl.errors import UserError

_HOME = re.compile(r"^((?:--?)?[\w.-]+=)?(~[\w.-]*)(?=/|$)")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|([A-Za-z_]\w*))")


def expand(text: str, name: str) -> str:
    """Replace `~` at the beginning of a path, or after `NAME=`, and variables of the environment.

    A shell does so only where nothing quotes them, and never in a YAML file.

    Args:
        text: Such as "~/runs/x", "$SCRATCH/x" or "${SCRATCH}/x".
        name: What it is, for the message.

    Raises:
        UserError: If there is no such variable or user.
    """

    def home(found: re.Match[str]) -> str:
        folder = os.path.expanduser(found[2])
        if folder == found[2] and found[2] == text:  # a name that begins with ~, and no path
            return found[0]
        if folder == found[2]:
            raise UserError(
                f"{name} is {text!r}, and there is no user {folder[1:]!r}: write ./{text}, or the "
                "folder's path in full"
            )
        return f"{found[1] or ''}{folder}"

    def variable(found: re.Match[str]) -> str:
        known = os.environ.get(found[1] or found[2])
        if known is None:
            raise UserError(
                f"{name} is {text!r}, and the environment variable {found[1] or found[2]} is not "
                "set: set it, or write what it stands for"
            )
        return known

    return _HOME.sub(home, _VARIABLE.sub(variable, text))


def path_argument(text: str) -> Path:
    """Read a path of the command line; for argparse's `type`."""
    return Path(text_argument(text))


def text_argument(text: str) -> str:
    """Read a path, or the name of something else, of the command line; for argparse's `type`."""
    if not text:
        raise argparse.ArgumentTypeError(
            "it is empty, as by a variable of the shell that is not set: name one"
        )
    try:
        return expand(text, "it")
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
