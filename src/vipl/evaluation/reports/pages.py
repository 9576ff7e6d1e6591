"""Pages: one HTML file each, which opens offline."""

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from vipl._version import __version__
from vipl.files import write_atomically


def render_page(template: str, **values: object) -> str:
    """Return a page.

    Args:
        template: Name of its file in `templates/`.
        values: What it shows, by the names that the template uses.
    """
    environment = Environment(
        loader=PackageLoader("vipl.evaluation.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(version=__version__, **values)


def write_page(path: Path, page: str) -> None:
    """Write a page; what UTF-8 cannot hold, as in the text of an error, becomes `?`."""
    write_atomically(path, lambda file: file.write_bytes(page.encode("utf-8", "replace")))
