"""`vipl eval` on a toy suite: records, resuming, workers that die, and what it refuses."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from tests import ROOT
from vipl.cli import main
from vipl.files import locked
from vipl.models import Encoder, save_encoder

SUITE = "toy_suite:Toy"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "tiny" / "encoder"
    with torch.random.fork_rng():
        torch.manual_seed(99)
        save_encoder(Encoder("resnet10t", output_dim=4, image_size=32), folder)
    return str(folder.parent)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The working directory, which holds the suite."""
    shutil.copy(ROOT / "tests/fixtures/toy_suite.py", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("toy_suite", None)


def evaluate(*arguments, workers=0):
    return main(["eval", "--suite", SUITE, "--workers", str(workers), *map(str, arguments)])


def only_run(out="results"):
    (folder,) = Path(out, "toy_suite.Toy-v3").iterdir()
    return folder


def records(folder):
    return [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]


def comparable(folder):
    """Records without what may differ between two runs."""
    return sorted(
        json.dumps({key: value for key, value in record.items() if key != "seconds"})
        for record in records(folder)
    )


def refusal(capsys, *arguments):
    capsys.readouterr()
    assert evaluate(*arguments) == 2
    text = capsys.readouterr().err
    assert text.startswith("vipl: ")
    assert len(text.splitlines()) == 1
    return text


def test_a_run_holds_its_records_videos_and_what_it_was(place, encoder, capsys):
    assert evaluate("--encoder", encoder, "tasks=left", "seeds=[0,1]", "budgets=8") == 0
    folder = only_run()
    assert folder.name.startswith("tiny-easy-")
    run = json.loads((folder / "run.json").read_text())
    assert run["run_id"] == folder.name
    assert run["cells"] == {"main": 4, "oracle": 2, "random": 4, "random_goal": 4, "samples=8": 4}
    assert run["tasks"] == {"left": "go left"}
    assert (run["cameras"], run["seeds"]) == (["front", "side"], [0, 1])
    assert run["labels"] == {"error": "error (m)"}
    assert run["encoder"]["backbone"] == "resnet10t"
    assert len(run["encoder"]["sha256"]) == 64
    assert run["config"]["planner"] == {"samples": 4}
    assert run["suite"]["class"] == SUITE
    assert run["command"].startswith("vipl eval --suite toy_suite:Toy --encoder /")
    rows = records(folder)
    assert len(rows) == len({row["key"] for row in rows}) == 18
    assert all(row["error"] is None and len(row["traces"]["distance"]) == 3 for row in rows)
    videos = {row["video"] for row in rows if row["camera"] == "front"}
    assert {f"videos/{path.name}" for path in (folder / "videos").iterdir()} == videos
    assert "videos/samples_8-left-front-1.mp4" in videos
    assert {row["video"] for row in rows if row["camera"] == "side"} == {None}
    assert (folder / "report.html").is_file()
    shown = capsys.readouterr().out
    assert "[1/18] left front seed 0 main: success " in shown
    assert f"report: {folder / 'report.html'}" in shown


def test_each_task_and_camera_may_have_an_encoder_of_its_own(place, encoder):
    settings = ("tasks=left,right", "seeds=0", "cameras=front", "controls=random")
    for task in ("left", "right"):
        network = Encoder("resnet10t", output_dim=4, image_size=32)
        save_encoder(network, place / "own" / f"{task}-front" / "encoder")
    assert evaluate("--encoder", "own/left-front", *settings, "--run-id", "left") == 0
    assert evaluate("--encoder", "own/{task}-{camera}", *settings, "--run-id", "own") == 0
    suite = Path("results/toy_suite.Toy-v3")
    run = json.loads((suite / "own" / "run.json").read_text())
    assert run["encoder"]["source"] == "own/{task}-{camera}"
    assert list(run["encoder"]["sha256s"]) == ["own/left-front", "own/right-front"]
    one, own = (
        {(row["variant"], row["task"]): row["key"] for row in records(suite / name)}
        for name in ("left", "own")
    )
    assert own["main", "left"] == one["main", "left"]
    assert own["main", "right"] != one["main", "right"]
    assert own["random", "right"] == one["random", "right"]  # of one architecture


def test_controls_meet_the_same_starts_and_untrained_encoders_follow_the_seed(place, encoder):
    evaluate("--encoder", encoder, "tasks=left", "seeds=0,1", "cameras=front")
    rows = {(row["variant"], row["seed"]): row for row in records(only_run())}
    starts = {
        seed: {tuple(r["info"]["start"]) for k, r in rows.items() if k[1] == seed}
        for seed in (0, 1)
    }
    assert len(starts[0]) == len(starts[1]) == 1
    assert starts[0] != starts[1]
    distances = {key: tuple(row["traces"]["distance"]) for key, row in rows.items()}
    assert distances["main", 0] == distances["random_goal", 0]
    assert distances["random", 0] != distances["main", 0]
    assert distances["oracle", 0] == (1.0, 0.5, 0.0)


def test_records_do_not_depend_on_the_number_of_workers(place, encoder):
    for workers in (1, 2):
        settings = ("tasks=left,right", "seeds=0", "controls=random", "--out", workers)
        assert evaluate("--encoder", encoder, *settings, workers=workers) == 0
    one, two = (comparable(only_run(str(workers))) for workers in (1, 2))
    assert len(one) == 8
    assert one == two


def test_a_second_call_runs_nothing(place, encoder, capsys):
    settings = ("--encoder", encoder, "tasks=left,up", "seeds=0", "controls=[]", f"scratch={place}")
    evaluate(*settings)
    ran = (place / "ran.txt").read_text()
    evaluate(*settings)
    assert (place / "ran.txt").read_text() == ran
    assert len(records(only_run())) == 4
    assert "done before: 4 of 4 cells" in capsys.readouterr().out


def test_controls_are_taken_from_other_runs(place, encoder, capsys):
    settings = ("tasks=left", "seeds=0", f"scratch={place}")
    evaluate("--encoder", encoder, *settings, "--run-id", "first")
    capsys.readouterr()
    evaluate("--encoder", "random:resnet10t", *settings, "--run-id", "untrained")
    evaluate("--encoder", "oracle", *settings, "--run-id", "oracle")
    shown = capsys.readouterr().out
    assert shown.count("(reused from first)") == 2  # the oracle, as a control and under test
    other = Encoder("resnet10t", output_dim=4, image_size=32)
    save_encoder(other, place / "other")
    evaluate("--encoder", "other", *settings, "--run-id", "second")
    shown = capsys.readouterr().out
    assert shown.count("(reused from first)") == 3  # an oracle, two untrained encoders
    suite = Path("results/toy_suite.Toy-v3")
    assert {row["variant"] for row in records(suite / "oracle")} == {"main"}
    assert (suite / "oracle/videos/main-left-front-0.mp4").is_file()
    variants = {row["variant"] for row in records(suite / "untrained")}
    assert variants == {"main", "oracle", "random_goal"}
    ran = (place / "ran.txt").read_text()
    assert ran.count("oracle left") == 1
    assert ran.count("random left") == 2


def test_an_untrained_encoder_under_test_is_drawn_from_the_seed(place):
    evaluate("--encoder", "random:resnet10t", "tasks=left", "seeds=0,1", "cameras=front")
    run = json.loads((only_run() / "run.json").read_text())
    assert run["encoder"]["sha256"] is None
    assert run["encoder"]["label"] == "random-resnet10t"
    main_rows = [row for row in records(only_run()) if row["variant"] == "main"]
    assert main_rows[0]["traces"] != main_rows[1]["traces"]


def test_workers_that_die_and_cells_that_fail_take_only_themselves(place, encoder, capsys):
    settings = (
        "--encoder", encoder, "seeds=0", "cameras=front", "controls=[]", f"scratch={place}",
        "trouble.left=kill_once", "trouble.right=raise", "trouble.up=kill",
    )  # fmt: skip
    with pytest.raises(SystemExit) as exit_info:
        evaluate(*settings, workers=1)
    assert exit_info.value.code == 1
    shown = capsys.readouterr().err
    assert "2 of 3 cells failed (RuntimeError: right broke)" in shown
    trace = shown.partition("\nRuntimeError: right broke\n")[0].splitlines()
    assert trace[0] == "Traceback (most recent call last):"
    assert any(line.endswith("in _befall") for line in trace)  # where it came from, line by line
    rows = {row["task"]: row for row in records(only_run())}
    assert {task: row["error"] for task, row in rows.items()} == {
        "left": None,
        "right": "RuntimeError: right broke",
        "up": "WorkerDied: killed by SIGKILL, perhaps for want of memory",
    }
    failed = rows["right"]
    assert (failed["metrics"], failed["traces"], failed["video"]) == ({}, {}, None)
    assert "RuntimeError" in failed["info"]["traceback"]
    ran = [line.split() for line in (place / "ran.txt").read_text().splitlines()]
    assert sorted(task for _, _, task, _ in ran) == ["left", "left", "right", "right", "up", "up"]
    assert len({pid for pid, *_ in ran}) == 3


def test_failed_cells_are_tried_again_by_the_same_command(place):
    settings = ("--encoder", "oracle", "tasks=left,up", "seeds=0", f"scratch={place}")
    assert evaluate(*settings) == 0
    path = only_run() / "records.jsonl"
    rows = records(only_run())
    rows[0].update(error="RuntimeError: x", metrics={}, traces={})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (place / "ran.txt").unlink()
    assert evaluate(*settings) == 0
    assert len((place / "ran.txt").read_text().splitlines()) == 1
    assert [row["error"] for row in records(only_run())] == [None, None]


def test_what_the_user_must_mend_stops_at_once(place, encoder, capsys):
    settings = ("--encoder", encoder, "trouble.left=mend", f"scratch={place}")
    assert "no OpenGL to render with" in refusal(capsys, *settings)
    assert len((place / "ran.txt").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("how", "status"),
    [
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
        (signal.SIGTERM, 143),
        pytest.param(signal.SIGKILL, -signal.SIGKILL, marks=pytest.mark.slow),
    ],
)
def test_a_stopped_run_keeps_its_records_and_goes_on(place, how, status):
    settings = (
        "--encoder", "oracle", "seeds=[0,1,2,3]", "tasks=[left,right]", f"scratch={place}",
        "trouble.left=sleep", "trouble.right=sleep",
    )  # fmt: skip
    command = [sys.executable, "-m", "vipl.cli", "eval", "--suite", SUITE, "--workers", "1"]
    process = subprocess.Popen([*command, *settings], stdout=subprocess.PIPE, text=True)
    for _ in range(2):
        process.stdout.readline()
    process.send_signal(how)
    process.communicate(timeout=60)
    assert process.returncode == status
    folder = only_run()
    done = len(records(folder))
    assert 2 <= done < 8
    assert (folder / "report.html").is_file() == (how != signal.SIGKILL)
    ran = (place / "ran.txt").read_text().splitlines()
    wait_for_end(int(ran[-1].split()[0]))
    with (folder / "records.jsonl").open("a") as file:
        file.write('{"task": "left", "cam')  # as a power cut leaves it
    assert evaluate(*settings) == 0
    assert only_run() == folder
    rows = records(folder)
    assert len(rows) == len({row["key"] for row in rows}) == 8
    assert len((place / "ran.txt").read_text().splitlines()) <= len(ran) + 8 - done


def wait_for_end(pid):
    for _ in range(50):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
            return
        time.sleep(0.1)
    raise AssertionError(f"the worker {pid} lives on")


def test_a_damaged_line_is_run_again(place, capsys):
    settings = ("--encoder", "oracle", "tasks=left,up", "seeds=0", f"scratch={place}")
    evaluate(*settings)
    path = only_run() / "records.jsonl"
    lines = path.read_text().splitlines()
    path.write_text(f"{lines[0][:30]}\n{lines[1]}\n")
    capsys.readouterr()
    evaluate(*settings)
    assert "records.jsonl: line 1 could not be read" in capsys.readouterr().out
    assert len(records(only_run())) == 2
    assert len((place / "ran.txt").read_text().splitlines()) == 3


def test_two_evaluations_in_one_folder(place, capsys):
    with locked(Path("results/toy_suite.Toy-v3/mine"), "taken"):
        text = refusal(capsys, "--encoder", "oracle", "--run-id", "mine")
    assert "another `vipl eval` is writing to results/toy_suite.Toy-v3/mine" in text
    assert "--run-id" in text


def test_another_configuration_in_the_same_folder(place, capsys):
    evaluate("--encoder", "oracle", "seeds=0", "--run-id", "mine")
    text = refusal(capsys, "--encoder", "oracle", "seeds=0", "planner.samples=9", "--run-id=mine")
    assert "holds another evaluation: planner.samples is 4 there and 9 here" in text


def test_a_full_disk(place, capsys, monkeypatch):
    def refuse(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("vipl.evaluation.results.os.fsync", refuse)
    text = refusal(capsys, "--encoder", "oracle", "seeds=0")
    assert "records.jsonl: No space left on device; free some" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "which encoder? name one by --encoder"),
        (("--encoder", "."), "is not an encoder's folder: it holds no config.json"),
        (("--encoder", "nowhere"), "there is no encoder 'nowhere'"),
        (("--encoder", "random:resnet1"), "nor timm has a 'resnet1'; did you mean random:"),
        (("--encoder", "oracle", "tasks=lefft"), "no task 'lefft': expected left"),
        (("--encoder", "oracle", "cameras=[fron]"), "no camera 'fron': expected front"),
        (("--encoder", "oracle", "--protocol", "wolk"), "no protocol 'wolk': expected walk"),
        (("--encoder", "oracle", "controls=orcle"), "no control 'orcle': expected oracle"),
        (("--encoder", "oracle", "seed=1"), "no key 'seed': did you mean seeds?"),
        (("--encoder", "oracle", "planner.sampels=1"), "did you mean planner.samples"),
        (
            ("--encoder", "oracle", "planner.samples=many"),
            "samples is 'many', expected a whole number",
        ),
        (("--encoder", "oracle", "seeds=-1"), "seeds is [-1], expected integers of 0 or more"),
        (("--encoder", "oracle", "setting=eesy"), "setting is 'eesy', expected easy or hard"),
        (("--encoder", "oracle", "--run-id", "a/b"), "--run-id is 'a/b', expected one plain name"),
        (("--encoder", "oracle", "--device", "gpu"), "--device gpu cannot be had"),
        (("--encoder", "oracle", "--suite", "toy_siute:Toy"), "did you mean toy_suite"),
        (("--encoder", "oracle", "--suite", "toy"), "there is no suite 'toy'"),
        (("--encoder", "oracle", "trouble"), "'trouble' is not an argument of the form key=value"),
    ],
)
def test_refusals(place, capsys, arguments, message):
    assert message in refusal(capsys, *arguments)
    assert not Path("results").exists()


def test_an_argument_with_the_name_of_another_key(place, capsys):
    text = Path("toy_suite.py").read_text()
    Path("toy_suite.py").write_text(text.replace("scratch: str", "seeds: str"))
    assert "Toy cannot be configured: Unable to add parameter 'seeds'" in refusal(
        capsys, "--encoder", "oracle"
    )


def test_files_and_the_printed_configuration_make_the_same_run(place, capsys):
    Path("a.yaml").write_text(
        f"suite: {SUITE}\nencoder: oracle\nprotocol: jump\nseeds: [4]\nplanner: {{samples: 2}}\n"
    )
    assert main(["eval", "--config", "a.yaml", "--print-config", "setting=hard"]) == 0
    printed = capsys.readouterr().out
    config = yaml.safe_load(printed)
    assert (config["setting"], config["planner"], config["protocol"]) == (
        "hard",
        {"samples": 2},
        "jump",
    )
    Path("b.yaml").write_text(printed)
    assert main(["eval", "--config", "a.yaml", "--workers", "0", "setting=hard"]) == 0
    assert main(["eval", "--config", "b.yaml", "--workers", "0"]) == 0
    assert only_run().name.startswith("oracle-hard-")
    assert {row["protocol"] for row in records(only_run())} == {"jump"}


def test_help_shows_the_suites_keys(place, capsys):
    assert main(["eval", "--help", "--suite", SUITE]) == 0
    shown = capsys.readouterr().out
    for text in ("--run-id", "--planner.samples", "Plans at once", "--controls", "Reach places"):
        assert text in shown


def test_the_list_of_one_suite(place, capsys):
    assert main(["eval", "--list", "--suite", SUITE]) == 0
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    assert lines[0].endswith("toy_suite.Toy (version 3): Reach places on a line.")
    assert lines[1] == "  protocols"
    assert "    jump   jump there" in lines
    assert "    right  go right" in lines


@pytest.mark.slow
def test_ray_gives_the_same_records(place, encoder, monkeypatch):
    ray = pytest.importorskip("ray")
    settings = (
        "--encoder", encoder, "seeds=0", "tasks=left,up", "controls=random", f"scratch={place}",
        "trouble.left=kill_once",
    )  # fmt: skip
    try:
        assert evaluate(*settings, "--launcher", "ray", "--out", "ray", workers=1) == 0
        assert not ray.is_initialized()
    finally:
        ray.shutdown()
    assert evaluate(*settings, "--out", "local") == 0
    assert comparable(only_run("ray")) == comparable(only_run("local"))


def test_ray_that_is_not_installed(place, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    text = refusal(capsys, "--encoder", "oracle", "--launcher", "ray")
    assert "pip install 'vipl[ray]'" in text


def test_the_commands_help_imports_nothing_slow():
    statement = (
        "import contextlib, sys\n"
        "from vipl.cli import main\n"
        "with contextlib.suppress(SystemExit): main(['--help'])\n"
        "slow = {'torch', 'numpy', 'rich', 'jsonargparse', 'omegaconf', 'vipl.evaluation'}\n"
        "print('found', *slow & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", statement], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.splitlines()[-1] == "found"
