"""Fixtures that more than one test file uses."""

from pathlib import Path

import pytest

from tests import media


@pytest.fixture(scope="session")
def media_dir() -> Path:
    """Folder of real videos: VIPL_TEST_MEDIA, else shared/media beside the repository."""
    folder = media.real_media_dir()
    if not (folder / "index.tsv").is_file():
        pytest.skip(media.NO_REAL_MEDIA)
    return folder
