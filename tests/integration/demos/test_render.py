"""`vipl demos render`: real frames through the real command, and an exact replay of actions."""

import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

from vipl.cli import main
from vipl.data.manifests.manifest import read_manifest
from vipl_evaluators.frankakitchen import render
from vipl_evaluators.frankakitchen.demonstrations import Demonstration, load_index, write_index
from vipl_evaluators.frankakitchen.scene import kitchen_spec

CAMERAS = ("default", "left_cam", "right_cam")
SIZE = 64
TASK = "light_on"
DEMONSTRATIONS = {demo.name: demo for demo in load_index()}
DEMONSTRATION = DEMONSTRATIONS[f"{TASK}/start_00"]
NUM_FRAMES = DEMONSTRATION.frames


@pytest.fixture(scope="module")
def rendered(opengl: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One demonstration through the three cameras."""
    out = tmp_path_factory.mktemp("demos")
    assert main(command(out)) == 0
    return out


@cache
def few_demonstrations() -> Path:
    """A folder with one demonstration of each of two tasks."""
    folder = Path(tempfile.mkdtemp(prefix="vipl-demos-"))
    atexit.register(shutil.rmtree, folder)
    for task in (TASK, "sdoor_open"):
        name = f"{task}/start_00.npz"
        (folder / task).mkdir()
        shutil.copy(DEMONSTRATION.folder / name, folder / name)
    write_index(folder)
    return folder


def command(out: Path, *extra: str, task: str = TASK) -> list[str]:
    arguments = ["demos", "render", "--out", str(out), "--tasks", task, "--size", str(SIZE)]
    return [*arguments, "--folder", str(few_demonstrations()), "--workers", "1", *extra]


def decode(path: Path) -> NDArray[np.uint8]:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def video(out: Path, camera: str) -> Path:
    return out / "videos" / f"{DEMONSTRATION.name}_{camera}.mp4"


def files_of(out: Path) -> set[str]:
    return {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}


def test_writes_what_it_says(rendered: Path) -> None:
    videos = {video(rendered, camera).relative_to(rendered).as_posix() for camera in CAMERAS}
    assert files_of(rendered) == {*videos, "manifest.parquet", "manifest.json"}


@pytest.mark.parametrize("camera", CAMERAS)
def test_video_is_made_for_random_access(rendered: Path, camera: str) -> None:
    with av.open(str(video(rendered, camera))) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == Fraction(25, 2)
        assert (stream.frames, stream.width, stream.height) == (NUM_FRAMES, SIZE, SIZE)
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        frames = list(container.decode(stream))
    times = [float(frame.pts * frame.time_base) for frame in frames]
    np.testing.assert_allclose(times, np.arange(NUM_FRAMES) / 12.5)
    keys = [i for i, frame in enumerate(frames) if frame.key_frame]
    assert max(np.diff([*keys, NUM_FRAMES])) <= 10
    assert all(frame.pict_type != av.video.frame.PictureType.B for frame in frames)


@pytest.mark.parametrize("camera", CAMERAS)
def test_frames_move_and_are_not_black(rendered: Path, camera: str) -> None:
    frames = decode(video(rendered, camera)).astype(float)
    assert frames.std() > 20
    assert np.abs(frames[-1] - frames[0]).mean() > 1


def test_cameras_see_different_things(rendered: Path) -> None:
    first, second, third = (decode(video(rendered, camera))[0].astype(float) for camera in CAMERAS)
    assert min(np.abs(first - second).mean(), np.abs(second - third).mean()) > 10


def test_manifest_rows(rendered: Path) -> None:
    manifest = read_manifest(rendered / "manifest.parquet")
    assert [clip.clip_id for clip in manifest] == [f"{TASK}/start_00/{c}" for c in CAMERAS]
    for clip, camera in zip(manifest, CAMERAS, strict=True):
        assert manifest.video_path(clip) == video(rendered, camera)
        assert (clip.start_frame, clip.end_frame, clip.fps) == (0, NUM_FRAMES, 12.5)
        assert (clip.width, clip.height, clip.split) == (SIZE, SIZE, "train")
        assert (clip.source, clip.label) == ("frankakitchen", DEMONSTRATION.task.label)


def test_manifest_check_accepts_it(rendered: Path) -> None:
    assert main(["manifest", "check", str(rendered / "manifest.parquet"), "--workers", "1"]) == 0


def test_second_run_skips_finished_files(
    rendered: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {camera: video(rendered, camera).stat().st_mtime_ns for camera in CAMERAS}
    monkeypatch.setattr(render, "choose_backend", lambda: pytest.fail("nothing is to be rendered"))
    assert main(command(rendered)) == 0
    assert before == {camera: video(rendered, camera).stat().st_mtime_ns for camera in CAMERAS}
    assert "manifest.parquet: 3 videos of 1 demonstrations (3 were there already)" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    "damage", [lambda path: path.write_bytes(b"no video"), Path.unlink], ids=["broken", "missing"]
)
def test_missing_or_broken_file_is_made_again(
    rendered: Path, damage: Callable[[Path], object]
) -> None:
    path = video(rendered, "left_cam")
    kept = video(rendered, "default").stat().st_mtime_ns
    damage(path)
    assert main(command(rendered)) == 0
    assert len(decode(path)) == NUM_FRAMES
    assert video(rendered, "default").stat().st_mtime_ns == kept


def test_killed_half_way_leaves_no_half_written_file(opengl: None, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "vipl.cli", *command(tmp_path)],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(lambda: list(tmp_path.rglob("*.mp4")) != [])  # the first, or its temporary file
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    finished = [path for path in tmp_path.rglob("*.mp4") if not path.name.startswith(".")]
    assert all(len(decode(path)) == NUM_FRAMES for path in finished)
    assert not (tmp_path / "manifest.parquet").exists()
    assert main(command(tmp_path)) == 0
    assert all(len(decode(video(tmp_path, camera))) == NUM_FRAMES for camera in CAMERAS)


def test_interrupt_ends_it_without_a_traceback(opengl: None, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "vipl.cli", *command(tmp_path, task="sdoor_open")],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(lambda: list(tmp_path.rglob("*.mp4")) != [])
    os.killpg(process.pid, signal.SIGINT)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in messages


def wait_for(condition: Callable[[], bool], *, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s"
        time.sleep(0.02)


def test_split_is_by_trajectory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(render, "_run", lambda jobs, workers: None)
    manifest = read_manifest(render.render_demonstrations(tmp_path, size=SIZE))
    splits: dict[str, set[str]] = {}
    for clip in manifest:
        splits.setdefault(clip.clip_id.rpartition("/")[0], set()).add(clip.split)
    assert len(manifest) == 3 * len(DEMONSTRATIONS)
    assert all(len(found) == 1 for found in splits.values())
    held_out = sum(demo.split == "val" for demo in DEMONSTRATIONS.values())
    assert sum(found == {"val"} for found in splits.values()) == held_out


def test_thinned_meshes_are_in_the_recipe_and_do_not_pass_for_others(
    rendered: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    extra = ("--mesh-grid-m", "0.006", "--cameras", "left_cam")
    before = video(rendered, "left_cam").read_bytes()
    assert main(command(rendered, *extra)) == 0
    assert "were there already" not in capsys.readouterr().out
    manifest = read_manifest(rendered / "manifest.parquet")
    (clip,) = manifest
    assert json.loads((rendered / "manifest.json").read_text())["recipe"] == {
        "source": "frankakitchen", "size": SIZE, "mesh_grid_m": 0.006,
    }  # fmt: skip
    assert video(rendered, "left_cam").read_bytes() == before
    difference = np.abs(
        decode(manifest.video_path(clip)).astype(float) - decode(video(rendered, "left_cam"))
    )
    assert 0 < difference.mean() < 2


def test_a_demonstration_that_was_made_anew_is_rendered_anew(
    rendered: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(few_demonstrations(), tmp_path / "folder")
    out = shutil.copytree(rendered, tmp_path / "out")
    path = folder / TASK / "start_00.npz"
    with np.load(path) as file:
        arrays = dict(file)
    arrays["qpos"] = arrays["qpos"][::-1]
    np.savez(path, **arrays)
    assert main(command(out, "--folder", str(folder), "--cameras", "left_cam")) == 0
    turned, before = decode(video(out, "left_cam")), decode(video(rendered, "left_cam"))
    assert np.abs(turned[0].astype(float) - before[0]).mean() > 1


def test_kinds_numbers_and_folders_beside_those_that_ship(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(render, "_run", lambda jobs, workers: None)
    folder = tmp_path / "folder"
    (folder / TASK).mkdir(parents=True)
    for index in (2, 10, 100):
        path = folder / TASK / f"anywhere_{index:02d}.npz"
        shutil.copy(DEMONSTRATION.folder / f"{DEMONSTRATION.name}.npz", path)
    write_index(folder)
    options = ["--tasks", TASK, "--cameras", "default", "--folder", str(folder), "--number", "2"]
    kinds = ["--kinds", "start", "recovery", "anywhere"]

    def names(*extra: str) -> list[str]:
        assert main(["demos", "render", "--out", str(tmp_path), *options, *kinds, *extra]) == 0
        clips = read_manifest(tmp_path / "manifest.parquet")
        return [clip.clip_id.split("/")[1] for clip in clips]

    assert names() == ["anywhere_02", "anywhere_10"]
    shipped = ["start_00", "start_01", "recovery_00", "recovery_01"]
    assert names("--with-shipped") == [*shipped, "anywhere_02", "anywhere_10"]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--tasks", "sdoor_opne"], "there is no task 'sdoor_opne': expected sdoor_open"),
        (["--cameras", "left"], "there is no camera 'left': expected left_cam"),
        (["--size", "63"], "--size is 63, expected an even number of 16 pixels or more"),
        (["--workers", "0"], "--workers is 0, expected 1 or more"),
        (["--number", "0"], "--number is 0, expected 1 or more"),
        (["--kinds", "strat"], "there is no kind 'strat': expected start"),
        (["--kinds", "knock"], "no demonstrations of the kind knock for light_on: name other"),
        (["--mesh-grid-m", "-1"], "mesh_grid_m is -1.0, expected a length in metres above 0"),
        (["--with-shipped"], "/start_00 is in the folder and among those that ship"),
    ],
)
def test_mistakes_are_one_sentence(
    tmp_path: Path, extra: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(tmp_path / "out", *extra)) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_opengl_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert main(command(tmp_path)) == 2
    message = capsys.readouterr().err
    assert "apt-get install libegl1" in message
    assert "Traceback" not in message


@pytest.mark.parametrize("name", ["light_on/start_00", "sdoor_open/start_00"])
def test_actions_replay_the_states(name: str) -> None:
    demo = DEMONSTRATIONS[name]
    if demo.mujoco != mujoco.__version__:
        pytest.skip(f"recorded with mujoco {demo.mujoco}: others differ where things touch")
    states = replay(demo)
    np.testing.assert_allclose(states, demo.arrays["qpos"], rtol=0, atol=0.02)
    assert demo.task.is_success(states[-1, demo.task.qpos_index])


def replay(demo: Demonstration) -> NDArray[np.float64]:
    """The states, [T + 1, 30], that a demonstration's actions lead to."""
    model = kitchen_spec().compile()
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = demo.arrays["qpos"][0], demo.arrays["qvel"][0]
    low, high = model.actuator_ctrlrange.T
    states = [data.qpos.copy()]
    for action in demo.arrays["action"]:
        data.ctrl[:] = np.clip(data.qpos[:9] + 2.0 * action * 0.08, low, high)
        mujoco.mj_step(model, data, nstep=40)
        states.append(data.qpos.copy())
    return np.stack(states)
