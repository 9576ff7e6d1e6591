"""Renders demonstrations into H.264 files made for random access, and writes their manifest."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import av
import numpy as np

from vipl.console import Console
from vipl.control.meshes import check_grid
from vipl.control.opengl import choose_backend
from vipl.data.encoding.video_writer import write_h264
from vipl.data.manifests.manifest import Clip, write_manifest
from vipl.errors import UserError
from vipl.files import write_atomically
from vipl.names import choose
from vipl_evaluators.frankakitchen.demonstrations import FPS_HZ, Demonstration, select
from vipl_evaluators.frankakitchen.environment import KitchenEnv
from vipl_evaluators.frankakitchen.processes import run_jobs
from vipl_evaluators.frankakitchen.scene import CAMERAS


@dataclass(frozen=True)
class Look:
    """What pictures depend on, beside state and camera.

    Attributes:
        size: Side of the pictures, in pixels.
        mesh_grid_m: As `KitchenEnv` takes it.
    """

    size: int
    mesh_grid_m: float | None

    @property
    def folder(self) -> str:
        """Where videos that look so are: finished ones of another look are not to be kept."""
        return "videos" if self.mesh_grid_m is None else f"videos_grid_{self.mesh_grid_m:g}m"


@dataclass(frozen=True)
class Job:
    """One demonstration to render, through the cameras that are still missing.

    Attributes:
        demonstration: What to render.
        look: Of the pictures.
        outputs: Camera to the file to write.
    """

    demonstration: Demonstration
    look: Look
    outputs: dict[str, Path]


_kitchens: dict[Look, KitchenEnv] = {}


def render_demonstrations(
    out: Path,
    *,
    tasks: Sequence[str] | None = None,
    cameras: Sequence[str] | None = None,
    kinds: Sequence[str] | None = None,
    number: int | None = None,
    folder: Path | None = None,
    with_shipped: bool = False,
    size: int = 224,
    mesh_grid_m: float | None = None,
    workers: int = 1,
) -> Path:
    """Render demonstrations into `out/videos/` and write `out/manifest.parquet`.

    Finished files are kept, so a call that was stopped goes on where it was. Videos with a grid are
    in a folder of their own, such as `out/videos_grid_0.006m/`.

    Args:
        out: Folder to write to.
        tasks: Names, or None for all twelve.
        cameras: Names, or None for all three.
        kinds: Such as "start", or None for all.
        number: The first so many of each kind of each task, None for all.
        folder: Of demonstrations; None means those that ship with the package.
        with_shipped: Render those that ship with the package beside the folder's.
        size: Side of the frames, in pixels; even.
        mesh_grid_m: As `KitchenEnv` takes it.
        workers: Processes that render.

    Returns:
        The manifest's path.

    Raises:
        UserError: On an unknown name or a wrong size, where there is nothing to render, or no
            OpenGL.
    """
    camera_names = choose("camera", cameras, CAMERAS)
    if size < 16 or size % 2:
        raise UserError(f"--size is {size}, expected an even number of 16 pixels or more")
    if workers < 1:
        raise UserError(f"--workers is {workers}, expected 1 or more")
    check_grid(mesh_grid_m)
    look = Look(size, mesh_grid_m)
    chosen = select(
        tasks=tasks, kinds=kinds, folder=folder, with_shipped=with_shipped, number=number
    )
    files = {
        (demo.name, camera): out / look.folder / f"{demo.name}_{camera}.mp4"
        for demo in chosen
        for camera in camera_names
    }
    jobs = [_job(demo, look, camera_names, files) for demo in chosen]
    _run([job for job in jobs if job.outputs], workers)
    clips = [
        _clip(demo, camera, files[demo.name, camera].relative_to(out), size)
        for demo in chosen
        for camera in camera_names
    ]
    manifest = out / "manifest.parquet"
    recipe: dict[str, object] = {"source": "frankakitchen", "size": size}
    if mesh_grid_m is not None:
        recipe["mesh_grid_m"] = mesh_grid_m
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
    look: Look,
    cameras: Sequence[str],
    files: dict[tuple[str, str], Path],
) -> Job:
    missing = {
        camera: files[demo.name, camera]
        for camera in cameras
        if not _is_finished(files[demo.name, camera], demo, look.size)
    }
    return Job(demo, look, missing)


def _run(jobs: Sequence[Job], workers: int) -> None:
    if not jobs:
        return
    choose_backend()
    finished = run_jobs(
        render_job,
        jobs,
        workers=workers,
        title="rendering frames",
        sizes=[job.demonstration.frames * len(job.outputs) for job in jobs],
        kept="finished videos",
    )
    for _ in finished:
        pass


def render_job(job: Job) -> None:
    """Render one job. Runs in a process of its own."""
    look = job.look
    if look not in _kitchens:
        _kitchens[look] = KitchenEnv(
            job.demonstration.task, image_size=look.size, mesh_grid_m=look.mesh_grid_m
        )
    kitchen = _kitchens[look]
    states = np.array([kitchen.state(q) for q in job.demonstration.arrays["qpos"]])
    for camera, path in job.outputs.items():
        pictures = kitchen.render(states, camera)
        write_atomically(path, partial(write_h264, frames=pictures, fps_hz=FPS_HZ))


def _is_finished(path: Path, demo: Demonstration, size: int) -> bool:
    if not path.is_file() or path.stat().st_mtime < demo.path.stat().st_mtime:
        return False  # there is none, or the demonstration was made anew
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            return (stream.frames, stream.width, stream.height) == (demo.frames, size, size)
    except (av.FFmpegError, IndexError):
        return False  # not a video: a disk that was full, a copy that was cut off


def _clip(demo: Demonstration, camera: str, path: Path, size: int) -> Clip:
    return Clip(
        clip_id=f"{demo.name}/{camera}",
        path=path.as_posix(),
        start_frame=0,
        end_frame=demo.frames,
        fps=FPS_HZ,
        width=size,
        height=size,
        split=demo.split,
        source="frankakitchen",
        label=demo.task.label,
    )
