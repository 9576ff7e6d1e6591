"""Fixtures that more than one test file uses."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures import media
from tests.fixtures.gloo import Pool
from vipl.cli import main
from vipl.control.opengl import choose_backend
from vipl.data.checking import command as check_command
from vipl.data.sources import command as commands
from vipl.errors import UserError


@pytest.fixture(scope="session")
def opengl() -> None:
    """Skip where nothing can be drawn."""
    try:
        choose_backend()
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def media_dir() -> Path:
    """Folder of real videos: VIPL_TEST_MEDIA, else shared/media beside the repository."""
    folder = media.real_media_dir()
    if not (folder / "index.tsv").is_file():
        pytest.skip(media.NO_REAL_MEDIA)
    return folder


@pytest.fixture(scope="session")
def tiny_manifest(tmp_path_factory) -> Path:
    """Twelve videos of twelve frames, four of them held out."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(12):
        media.write_video(folder / f"{number}.mp4", media.moving_square(12, 48, 64, seed=number))
    out = folder / "m.parquet"
    build = ["manifest", "build", "folder", str(folder), "--out", str(out), "--val-fraction", "0.3"]
    assert main(build) == 0
    return out


@pytest.fixture
def tables(monkeypatch):
    """The rows of the tables that commands show, which a narrow screen would wrap."""
    shown = []
    for module in (commands, check_command):
        monkeypatch.setattr(module, "show_table", lambda title, rows: shown.extend(rows))
    return shown


@pytest.fixture(scope="session")
def pool() -> Iterator[Pool]:
    """Processes that can join into groups."""
    processes = Pool()
    yield processes
    processes.close()
