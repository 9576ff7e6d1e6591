"""The folder of a run: taken back where a run fails at once, kept where it has trained."""

import pytest

from vipl.errors import UserError
from vipl.files import undone
from vipl.training.resuming.run_folder import CONFIG_FILE, claimed
from vipl.training.watch import FILE

NEW = {"overwrite": False, "resume": False}


class Failure(Exception):
    """Of a run."""


def fail(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    raise Failure


def fail_run(run_dir, *, files=()):
    with pytest.raises(Failure), claimed(run_dir, **NEW):
        fail(run_dir, CONFIG_FILE, *files)


def test_what_fails_before_its_first_checkpoint_leaves_nothing(tmp_path):
    run_dir = tmp_path / "runs" / "deep" / "x"
    fail_run(run_dir, files=["checkpoints/step=0.ckpt", "metrics/metrics.csv"])
    assert not list(tmp_path.iterdir())
    run_dir.mkdir(parents=True)  # a folder that the user made stays
    fail_run(run_dir)
    assert [path.name for path in run_dir.iterdir()] == [".lock"]


@pytest.mark.parametrize("kept", ["checkpoints/step=3.ckpt", "encoder/config.json"])
def test_what_has_trained_stays_and_is_not_replaced(tmp_path, kept):
    fail_run(tmp_path / "x", files=[kept])
    assert (tmp_path / "x" / kept).is_file()
    with pytest.raises(UserError, match="holds a run already"), claimed(tmp_path / "x", **NEW):
        pass
    assert (tmp_path / "x" / kept).is_file()


@pytest.mark.parametrize("name", ["bad_clips.csv", FILE])
def test_lists_of_clips_stay_until_the_next_run(tmp_path, name):
    fail_run(tmp_path / "x", files=[name, "checkpoints/step=0.ckpt"])
    assert (tmp_path / "x" / name).is_file()
    assert (tmp_path / "x" / "checkpoints" / "step=0.ckpt").is_file()
    with claimed(tmp_path / "x", **NEW):
        assert not (tmp_path / "x" / name).exists()


def test_a_run_that_was_killed_at_its_beginning_is_replaced(tmp_path, capsys):
    run_dir = tmp_path / "x"
    (run_dir / "checkpoints").mkdir(parents=True)
    (run_dir / "checkpoints" / "step=0.ckpt").touch()
    (run_dir / CONFIG_FILE).touch()
    with claimed(run_dir, **NEW):
        assert [path.name for path in run_dir.iterdir()] == [".lock"]
    assert "ended before its first checkpoint" in capsys.readouterr().out


def test_a_folder_of_something_else_is_left_as_it_is(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    for options in (NEW, {"overwrite": True, "resume": False}):
        refused = pytest.raises(UserError, match="holds files that are not a run's")
        with refused, claimed(tmp_path, **options):
            pass
        assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "a.mp4").touch()
    for run_dir in (tmp_path / "a.mp4", tmp_path / "a.mp4" / "x"):
        refused = pytest.raises(UserError, match=r"a\.mp4 is a file, expected a folder")
        with refused, claimed(run_dir, **NEW):
            pass


def test_only_what_is_new_is_taken_back(tmp_path):
    (tmp_path / "before").touch()
    for kept in (False, True):
        with pytest.raises(Failure), undone(tmp_path, new=[], unless=lambda kept=kept: kept):
            fail(tmp_path, "new/file")
        assert (tmp_path / "new").exists() is kept
        assert (tmp_path / "before").exists()


def test_a_run_that_another_process_holds_is_left_as_it_is(tmp_path):
    with claimed(tmp_path / "x", **NEW):
        (tmp_path / "x" / CONFIG_FILE).touch()
        with pytest.raises(UserError, match="another `vipl fit`"), claimed(tmp_path / "x", **NEW):
            pass
        assert sorted(path.name for path in (tmp_path / "x").iterdir()) == [".lock", CONFIG_FILE]
