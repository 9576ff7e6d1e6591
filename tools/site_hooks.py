"""What `mkdocs build` needs beside its plugins: equations, and pages that lie outside docs/.

Equations become MathML when the site is built, so that a browser draws them with no script and no
network; a font of ziamath's (STIX Two Math, SIL Open Font License) goes with them, for browsers on
systems that have none. Pages link to files of the repository as its readers see them; those that
the site carries are linked there, and any other link that leaves docs/ fails the strict build.
"""

import html
import os.path
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]

CARRIED = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "configs/**/*.yaml",
    "data_manifests/*",
    "studies/**/*.md",
    "src/vipl/models/zoo/encoders.yaml",
    "tests/README.md",
)
"""Files outside docs/ that the site has, at the same paths."""

FONT = "STIXTwoMath-Regular.ttf"
"""Of equations; site.css names it."""

_EQUATION = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
_LINK = re.compile(r"\]\((?!\w+:|#|/)([^)#\s]+)")


def on_files(files: Files, config: Any) -> Files:
    """Add the files outside docs/, and the font of equations."""
    package = find_spec("ziamath")
    assert package is not None
    assert package.origin is not None
    font = Path(package.origin).parent / "fonts" / FONT
    files.append(File.generated(config, FONT, abs_src_path=str(font)))
    for pattern in CARRIED:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, files: Files, **unused: Any) -> str:
    """Turn links between files of the repository into links between files of the site."""
    source = Path(page.file.abs_src_path).parent

    def relink(link: re.Match[str]) -> str:
        target = Path(os.path.normpath(source / link[1]))
        if not target.is_relative_to(ROOT):
            return link[0]
        inside = target.relative_to(ROOT).as_posix().removeprefix("docs/")
        if files.get_file_from_path(inside) is None:
            return link[0]
        return f"]({os.path.relpath(inside, Path(page.file.src_uri).parent)}"

    return _LINK.sub(relink, markdown)


def on_page_content(content: str, **unused: Any) -> str:
    """Turn LaTeX into MathML."""

    def equation(found: re.Match[str]) -> str:
        display = "block" if found[1] == "div" else "inline"
        return convert(html.unescape(found[2]).strip(), display=display)

    return _EQUATION.sub(equation, content)
