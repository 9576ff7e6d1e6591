"""Renders demonstrations into H.264 files made for random access, and writes their manifest."""

import os
import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from vipl.data.commands import progress
from vipl.data.manifest import Clip, write_manifest
from vipl.errors import UserError
from vipl.files import write_atomically
from vipl_evaluators.frankakitchen.demonstrations import FPS_HZ, Demonstration, load_index
from vipl_evaluators.frankakitchen.rendering import StateRenderer, choose_backend
from vipl_evaluators.frankakitchen.tasks import TASKS, choose

CAMERA_NAMES = ("default", "left_cam", "right_cam")

# Key frames close together and no B-frames: a random frame is a few frames of decoding away.
_X264 = {"crf": "18", "g": "10", "bf": "0", "preset": "veryfast"}

_renderers: dict[int, StateRenderer] = {}


@dataclass(frozen=True)
class Job:
    """One demonstration to render, through the cameras that are still missing.

    Attributes:
        demonstration: What to render.
        frames: How many of its states.
        size: Side of the pictures, in pixels.
        outputs: Camera to the file to write.
    """

    demonstration: Demonstration
    frames: int
    size: int
    outputs: dict[str, Path]


def render_demonstrations(
    out: Path,
    *,
    tasks: Sequence[str] | None = None,
    cameras: Sequence[str] | None = None,
    size: int = 224,
    after_success: int = 4,
    workers: int = 1,
) -> Path:
    """Render demonstrations into `out/videos/` and write `out/manifest.parquet`.

    Finished files are kept, so a call that was stopped goes on where it was.

    Args:
        out: Folder to write to.
        tasks: Names, or None for all twelve.
        cameras: Names, or None for all three.
        size: Side of the frames, in pixels; even.
        after_success: Frames kept after the first success.
        workers: Processes that render.

    Returns:
        The manifest's path.

    Raises:
        UserError: On an unknown name or a wrong size, or where there is no OpenGL.
    """
    task_names = choose("task", tasks, list(TASKS))
    camera_names = choose("camera", cameras, CAMERA_NAMES)
    if size < 16 or size % 2:
        raise UserError(f"--size is {size}, expected an even number of 16 pixels or more")
    if after_success < 0 or workers < 1:
        raise UserError("--after-success must be 0 or more, --workers 1 or more")
    chosen = [demo for demo in load_index() if demo.task_name in task_names]
    lengths = {d.name: min(d.frames, d.first_success + after_success + 1) for d in chosen}
    files = {
        (demo.name, camera): out / "videos" / f"{demo.name}_{camera}.mp4"
        for demo in chosen
        for camera in camera_names
    }
    jobs = [_job(demo, lengths[demo.name], size, camera_names, files) for demo in chosen]
    _run([job for job in jobs if job.outputs], workers)
    clips = [
        _clip(demo, camera, files[demo.name, camera].relative_to(out), lengths[demo.name], size)
        for demo in chosen
        for camera in camera_names
    ]
    manifest = out / "manifest.parquet"
    recipe = {"source": "frankakitchen", "size": size, "after_success": after_success}
    write_manifest(clips, manifest, recipe=recipe)
    held_out = sum(clip.split == "val" for clip in clips)
    kept = len(clips) - sum(len(job.outputs) for job in jobs)
    Console(highlight=False, soft_wrap=True).print(
        f"{manifest}: {len(clips)} videos of {len(chosen)} demonstrations"
        f"{f' ({kept} were there already)' if kept else ''}, {held_out} held out"
    )
    return manifest


def _job(
    demo: Demonstration,
    frames: int,
    size: int,
    cameras: Sequence[str],
    files: dict[tuple[str, str], Path],
) -> Job:
    missing = {
        camera: files[demo.name, camera]
        for camera in cameras
        if not _is_finished(files[demo.name, camera], frames, size)
    }
    return Job(demo, frames, size, missing)


def _run(jobs: Sequence[Job], workers: int) -> None:
    if not jobs:
        return
    os.environ["MUJOCO_GL"] = choose_backend()
    # Fresh processes: an OpenGL context is neither inherited, nor made where torch may be
    # imported later (their two copies of LLVM do not get along in that order).
    pool = ProcessPoolExecutor(
        min(workers, len(jobs)), mp_context=get_context("spawn"), initializer=_die_at_interrupt
    )
    total = sum(job.frames * len(job.outputs) for job in jobs)
    with progress("rendering frames", total=total) as bar:
        try:
            for future in as_completed([pool.submit(render_job, job) for job in jobs]):
                bar.advance(bar.task_ids[0], future.result())
        except BrokenProcessPool as error:
            raise UserError(
                "a rendering process was killed, perhaps for want of memory: call this again with "
                "fewer --workers, finished videos are kept"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _die_at_interrupt() -> None:
    # Ctrl-C reaches the whole group: workers end at once and say nothing.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def render_job(job: Job) -> int:
    """Render one job; return the number of pictures. Runs in a process of its own."""
    if job.size not in _renderers:
        from vipl_evaluators.frankakitchen.scene import load_model

        _renderers[job.size] = StateRenderer(load_model(size=job.size), size=job.size)
    qpos = job.demonstration.arrays["qpos"][: job.frames]
    pictures = list(_renderers[job.size].render(qpos, list(job.outputs)))
    for index, path in enumerate(job.outputs.values()):
        video = [picture[index] for picture in pictures]
        write_atomically(path, partial(write_h264, frames=video))
    return len(pictures) * len(job.outputs)


def write_h264(path: Path, frames: Sequence[NDArray[np.uint8]]) -> None:
    """Encode uint8 [H, W, 3] frames at 12.5 Hz."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(FPS_HZ), options=_X264)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _is_finished(path: Path, frames: int, size: int) -> bool:
    if not path.is_file():
        return False
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            return (stream.frames, stream.width, stream.height) == (frames, size, size)
    except (av.FFmpegError, IndexError):
        return False  # not a video: a disk that was full, a copy that was cut off


def _clip(demo: Demonstration, camera: str, path: Path, frames: int, size: int) -> Clip:
    return Clip(
        clip_id=f"{demo.name}/{camera}",
        path=path.as_posix(),
        start_frame=0,
        end_frame=frames,
        fps=FPS_HZ,
        width=size,
        height=size,
        split=demo.split,
        source="frankakitchen",
        label=demo.task.label,
    )
