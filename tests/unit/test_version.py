"""The version is one, wherever it is written; and `make release` says what is wrong with it."""

import re
import shutil
import subprocess

import pytest

import vipl
from tests import ROOT


def test_the_version_is_one():
    assert f"\nversion: {vipl.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"
    released = re.fullmatch(r"(\S+) \((\d{4}-\d\d-\d\d)\)", headings[1])
    assert released is not None
    assert released[1] == vipl.__version__
    assert f"date-released: {released[2]}\n" in (ROOT / "CITATION.cff").read_text()


@pytest.mark.parametrize(
    ("file", "old", "message"),
    [
        ("CHANGELOG.md", f"## {vipl.__version__} (", "CHANGELOG.md has no entry for"),
        ("CITATION.cff", f"version: {vipl.__version__}", "CITATION.cff is not of version"),
        ("README.md", "vipl", "the working tree is not clean: commit first"),
    ],
)
def test_a_release_that_is_not_ready_is_refused(tmp_path, file, old, message):
    for name in (
        "src/vipl/_version.py",
        "CHANGELOG.md",
        "CITATION.cff",
        "README.md",
        "tools/release.sh",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    path = tmp_path / file
    path.write_text(path.read_text().replace(old, "other"))
    done = subprocess.run(["sh", "tools/release.sh"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert message in done.stderr
    assert not (tmp_path / "dist").exists()
