"""What `vipl prepare` does: jobs on this machine or in a Ray cluster, and what became of them."""

import argparse
import os
import threading
from collections.abc import Generator, Sequence
from contextlib import closing

from vipl.console import Console, progress
from vipl.data.checking.bad_clips import BadClip
from vipl.data.checking.presence import with_files
from vipl.data.manifests.manifest import Manifest, read_manifest
from vipl.data.preparing.prepare import Job, Preparation, Result, prepare_job
from vipl.data.preparing.shard import Shard
from vipl.data.processes.isolation import DecoderProcess
from vipl.data.processes.pool import call_many
from vipl.errors import UserError
from vipl.files import LOCK_NAME, locked

_SHOWN = 5

_console = Console(highlight=False)
_decoders: dict[float, DecoderProcess] = {}


def run(args: argparse.Namespace) -> None:
    """Bring the clips of a manifest to a format made for random access.

    Raises:
        UserError: If the manifest, its files or the folder are not as they should be, or no clip
            could be brought.
    """
    for name in ("workers", "timeout_s"):
        value = getattr(args, name)
        if value is not None and not value > 0:
            raise UserError(f"--{name.removesuffix('_s')} is {value:g}, expected more than 0")
    manifest = read_manifest(args.manifest, root=args.root)
    remedy = "name their folder by --root, or go on without them by --allow-missing"
    with_files(manifest, allow_missing=args.allow_missing, remedy=remedy)
    preparation = Preparation(
        manifest,
        args.out,
        format_name=args.format,
        short_side=args.short_side,
        shard=Shard.parse(args.shard),
        tone_map=args.tone_map,
    )
    refusal = f"another process prepares the shard {args.shard} in {args.out}: wait for it"
    with locked(preparation.work, refusal):
        _clear(preparation)
        bad = _work(preparation, args)
        _report(preparation, bad, preparation.finish(bad))


def _clear(preparation: Preparation) -> None:
    """Remove what a process that was killed left half-written."""
    for path in preparation.work.iterdir():
        if path.name != LOCK_NAME:
            path.unlink()


def _work(preparation: Preparation, args: argparse.Namespace) -> list[BadClip]:
    jobs = preparation.jobs()
    clips = sum(len(job.clips) for job in jobs)
    if not clips:
        _console.print("nothing is left to prepare")
        return []
    workers = args.workers or os.cpu_count() or 1
    launch = _in_ray if args.launcher == "ray" else _here
    bad: list[BadClip] = []
    written = 0
    with (
        progress("preparing clips", total=clips) as bar,
        closing(launch(jobs, workers=workers, timeout_s=args.timeout_s)) as results,
    ):
        for index, (failed, size_bytes) in results:
            bad += failed
            written += size_bytes
            bar.advance(bar.task_ids[0], len(jobs[index].clips))
    done = clips - len(bad)
    if done:
        _console.print(
            f"{done} clips, {written / 1e6:.1f} MB, {written / done / 1e3:.0f} kB a clip"
        )
    return bad


def _here(
    jobs: Sequence[Job], *, workers: int, timeout_s: float
) -> Generator[tuple[int, Result], None, None]:
    stop = threading.Event()

    def call(decoder: DecoderProcess, job: Job) -> Result:
        return prepare_job(decoder, job, stop.is_set)

    return call_many(call, jobs, workers=workers, timeout_s=timeout_s, stop=stop)


def _in_ray(
    jobs: Sequence[Job], *, workers: int | None, timeout_s: float
) -> Generator[tuple[int, Result], None, None]:
    from vipl.processes import ray_cluster

    ray, started = ray_cluster.connect(workers)
    try:
        remote = ray.remote(_job_in_ray).options(num_cpus=1)
        tasks = {remote.remote(job, timeout_s): index for index, job in enumerate(jobs)}
        while tasks:
            ready, _ = ray.wait(list(tasks), num_returns=1)
            try:
                yield tasks.pop(ready[0]), ray.get(ready[0])
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except ray.exceptions.RayError as error:
                reason = str(error).strip().partition("\n")[0]
                raise UserError(
                    f"--launcher ray: a task was lost ({reason}); the same command goes on"
                ) from error
    finally:
        if started:
            ray.shutdown()


def _job_in_ray(job: Job, timeout_s: float) -> Result:
    """Do a job in a process of Ray's, which keeps its decoder for the next ones."""
    decoder = _decoders.setdefault(timeout_s, DecoderProcess(timeout_s=timeout_s))
    return prepare_job(decoder, job, lambda: False)


def _report(preparation: Preparation, bad: list[BadClip], result: Manifest | int) -> None:
    for clip in sorted(bad)[:_SHOWN]:
        _console.print(f"left out: {clip.clip_id}: {clip.reason}")
    if isinstance(result, int):
        _console.print(
            f"shard {preparation.shard.number}/{preparation.shard.total} is done; {result} of "
            f"{preparation.shard.total} are not yet, the last of them writes the manifest"
        )
        return
    left_out = len(preparation.manifest) - len(result)
    listed = f"; {left_out} are left out, listed in {preparation.out / 'bad_clips.csv'}"
    _console.print(f"{result.path}: {len(result)} clips{listed if left_out else ''}")
