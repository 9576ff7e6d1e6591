"""What commands print to."""

import rich.console


class Console(rich.console.Console):
    """Rich's console, which leaves a closed pipe, as of `| head`, to the command."""

    def on_broken_pipe(self) -> None:
        """Raise the error on: rich would end the process with status 1."""
        raise  # the error that rich is handling
