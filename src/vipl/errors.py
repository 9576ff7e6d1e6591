"""Errors that a user can mend."""


class UserError(ValueError):
    """Something the user got wrong: the message names it, what was expected, and the remedy.

    The `vipl` command prints it as one sentence and ends with exit status 2.
    """
