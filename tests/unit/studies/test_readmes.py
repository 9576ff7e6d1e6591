"""Every study says what was asked, how, what came out, and when."""

import re

import pytest

from tests import ROOT

STUDIES = sorted(
    path for path in (ROOT / "studies").iterdir() if path.is_dir() and path.name[0] != "_"
)


@pytest.mark.parametrize("study", STUDIES, ids=lambda path: path.name)
def test_a_study_says_what_was_asked_and_what_came_out(study):
    text = (study / "README.md").read_text()
    assert re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE) == [
        "Question", "Command", "Answer", "Date",
    ]  # fmt: skip
    index = (ROOT / "studies/README.md").read_text()
    assert f"({study.name}/README.md)" in index


@pytest.mark.parametrize("study", STUDIES, ids=lambda path: path.name)
def test_its_programs_are_there(study):
    text = (study / "README.md").read_text()
    for module in re.findall(r"python -m (studies\.[\w.]+)", text):
        assert (ROOT / module.replace(".", "/")).with_suffix(".py").is_file()
    for name in re.findall(r"vipl study run (\w+)", text):
        assert (ROOT / "studies" / name / "study.yaml").is_file()
