"""Results on disk: records that survive a kill, keys, run.json, records of other runs."""

import json

import numpy as np
import pytest

from vipl.errors import UserError
from vipl.evaluation.evaluator import Cell
from vipl.evaluation.results import (
    Record,
    RecordsFile,
    copy_record,
    find_elsewhere,
    read_records,
    read_states,
    record_key,
    video_path,
    write_states,
)
from vipl.evaluation.run_file import claim_run_file, default_run_id

CELL = Cell("sdoor_open", "left_cam", 0, "trajopt", "main")


def record(key, **changes):
    return Record(**{**vars(CELL), "key": key, "metrics": {"success": 1.0}, **changes})


def write(path, *records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(each.to_line() for each in records))
    return path


def test_a_record_comes_back_as_it_was():
    whole = record("k", traces={"distance": [1.0, 0.1 + 0.2]}, info={"a": [1]}, video="v.mp4")
    assert Record.from_line(whole.to_line()) == whole
    assert whole.cell == CELL
    for line in ("", "3", "{}", '{"task": "a"', whole.to_line()[:-9]):
        with pytest.raises(ValueError):  # noqa: PT011
            Record.from_line(line)


def test_values_that_are_not_json_are_never_written():
    with pytest.raises(ValueError, match="not JSON compliant"):
        record("k", metrics={"success": float("nan")}).to_line()


def test_lines_that_are_no_records_are_passed_over_and_numbered(tmp_path):
    path = write(tmp_path / "records.jsonl", record("a"), record("b"))
    path.write_bytes(b"\xff\n" + path.read_bytes() + b"{\n" + record("c").to_line()[:20].encode())
    records, unreadable = read_records(path)
    assert [each.key for each in records] == ["a", "b"]
    assert unreadable == [1, 4, 5]
    assert read_records(tmp_path / "none.jsonl") == ([], [])


@pytest.mark.parametrize("end", ["", "\n", "{}\n", '{"task": "x'])
def test_appending_to_a_file_that_was_cut_off(tmp_path, end):
    path = write(tmp_path / "records.jsonl", record("a"))
    path.write_text(path.read_text().rstrip("\n") + ("\n" if len(end) > 1 else "") + end)
    file = RecordsFile(path)
    assert list(file.kept) == ["a"]
    assert file.unreadable == ([2] if len(end) > 1 else [])
    file.append(record("b"))
    file.close()
    assert read_records(path) == ([record("a"), record("b")], [])


def test_failed_cells_are_taken_out_to_be_run_again(tmp_path):
    path = write(tmp_path / "r.jsonl", record("a", error="ValueError: x", metrics={}), record("b"))
    file = RecordsFile(path)
    file.close()
    assert list(file.kept) == ["b"]
    assert read_records(path)[0] == [record("b")]


def test_a_sound_file_is_not_rewritten(tmp_path):
    path = write(tmp_path / "r.jsonl", record("a"), record("b"))
    before = path.stat().st_ino
    RecordsFile(path).close()
    assert path.stat().st_ino == before


def test_a_key_is_of_what_determines_a_record():
    settings = {"suite": "s", "version": 1, "arguments": {"setting": "hard"}, "mujoco": "3.3"}
    key = record_key(settings, "abc", CELL)
    assert key == record_key(dict(reversed(settings.items())), "abc", CELL)
    others = [
        record_key({**settings, "version": 2}, "abc", CELL),
        record_key({**settings, "mujoco": None}, "abc", CELL),
        record_key({**settings, "arguments": {"setting": "easy"}}, "abc", CELL),
        record_key(settings, "abd", CELL),
        *(
            record_key(settings, "abc", Cell(**{**vars(CELL), **change}))
            for change in (
                {"task": "a"}, {"camera": None}, {"seed": 1}, {"protocol": "p"},
                {"variant": "random_goal"}, {"variant": "samples=8"},
            )
        ),
    ]  # fmt: skip
    assert len({key, *others}) == len(others) + 1
    # The encoder's identity tells these apart, and is the same where the oracle is under test.
    assert record_key(settings, "abc", Cell(**{**vars(CELL), "variant": "oracle"})) == key


def test_names_of_videos():
    assert video_path(CELL) == "videos/main-sdoor_open-left_cam-0.mp4"
    budget = Cell("a/../b c", None, 3, "p", "samples=8")
    assert video_path(budget) == "videos/samples_8-a_.._b_c-3.mp4"


def run_file(**config):
    return {
        "suite": {"name": "s", "version": 1},
        "protocol": "walk",
        "packages": {"mujoco": "3.3"},
        "encoder": {"label": "mine", "identity": "abc"},
        "config": {"workers": 1, "seeds": [0], "planner": {"samples": 8}, **config},
    }


def test_the_name_of_a_run_is_of_what_it_runs():
    name = default_run_id(run_file())
    assert name == default_run_id(run_file(workers=4, out="elsewhere"))
    assert name.startswith("mine-walk-")
    assert name != default_run_id(run_file(seeds=[0, 1]))
    assert default_run_id(run_file(setting="hard")).startswith("mine-hard-")


def test_a_folder_of_another_run_is_refused_with_what_differs(tmp_path):
    claim_run_file(tmp_path, run_file())
    first = (tmp_path / "run.json").read_text()
    claim_run_file(tmp_path, run_file(workers=8))
    assert (tmp_path / "run.json").read_text() == first
    other = run_file(planner={"samples": 16}, setting="hard")
    other["encoder"]["identity"] = "abd"
    with pytest.raises(UserError, match="holds another evaluation") as refusal:
        claim_run_file(tmp_path, other)
    text = str(refusal.value)
    assert "planner.samples is 8 there and 16 here" in text
    assert 'setting is null there and "hard" here' in text
    assert 'encoder is "abc" there and "abd" here' in text
    assert "seeds" not in text
    assert "--run-id" in text
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(UserError, match=r"run\.json is not a run that can be read"):
        claim_run_file(tmp_path, run_file())


def test_records_of_other_runs_are_found_and_copied(tmp_path):
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    write(mine / "records.jsonl", record("a"))
    oracle = record("b", variant="oracle", video="videos/old.mp4")
    failed = record("c", error="RuntimeError: x")
    path = write(theirs / "records.jsonl", oracle, failed)
    path.write_text(path.read_text() + '{"task": "being wri')
    (theirs / "videos").mkdir()
    (theirs / "videos/old.mp4").write_bytes(b"film")
    found = find_elsewhere(mine, ["a", "b", "c"])
    assert found == {"b": (theirs, oracle)}
    copy = copy_record(found["b"], mine, CELL)
    assert (copy.variant, copy.video) == ("main", "videos/main-sdoor_open-left_cam-0.mp4")
    assert copy.metrics == oracle.metrics
    assert (mine / copy.video).read_bytes() == b"film"
    assert read_states(mine, CELL) is None
    states = np.arange(6.0).reshape(2, 3)
    write_states(theirs, found["b"][1].cell, states)
    copy_record(found["b"], mine, CELL)
    assert np.array_equal(read_states(mine, CELL), states)
    (theirs / "videos/old.mp4").unlink()
    assert copy_record(found["b"], mine, CELL).video is None
    assert json.loads(copy.to_line())["key"] == "b"


def test_a_copied_record_names_no_file_outside_its_run(tmp_path):
    """Runs are handed on: a record that names /etc/passwd must not carry it into another run."""
    mine, other = tmp_path / "mine", tmp_path / "other"
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(b"secret")
    (other / "videos").mkdir(parents=True)
    (other / "videos" / "link.mp4").symlink_to(secret)
    (other / "linked").symlink_to(tmp_path)
    for name in ("../secret.mp4", str(secret), "videos/link.mp4", "linked/secret.mp4"):
        assert copy_record((other, record("b", video=name)), mine, CELL).video is None
    assert not mine.exists()
    write_states(other, CELL, np.zeros((2, 3)))
    states = next((other / "states").iterdir())
    states.rename(tmp_path / "states.npz")
    states.symlink_to(tmp_path / "states.npz")
    assert read_states(other, CELL) is None
    (other / "videos" / "own.mp4").write_bytes(b"own")
    own = copy_record((other, record("b", video="videos/own.mp4")), mine, CELL)
    assert (mine / own.video).read_bytes() == b"own"
    with pytest.raises(ValueError, match="not a record"):
        Record.from_line(json.dumps({**vars(record("b")), "video": 3}))
