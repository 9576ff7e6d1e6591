"""Tables of videos and what is to be said of them."""

from rich.table import Table

from vipl.console import Console

REMARKED = "with pictures out of the ordinary"
"""Title of the table of videos of which something is to be known."""

_SHOWN = 10

_console = Console(highlight=False)


def show_table(title: str, rows: list[tuple[str, str]]) -> None:
    """Show the first of some (path, reason)."""
    table = Table("video", "reason", title=f"{len(rows)} {title}", title_justify="left")
    for row in rows[:_SHOWN]:
        table.add_row(*row)
    if len(rows) > _SHOWN:
        table.add_row("…", f"and {len(rows) - _SHOWN} more")
    _console.print(table)
