"""Opening the videos of a source, many at a time, and what comes of it for the report."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vipl.data.decoding.probe import VideoInfo
from vipl.data.decoding.video import VideoError
from vipl.data.manifests.validation import MIN_FRAMES
from vipl.data.processes.pool import probe_many
from vipl.data.sources.report import Progress, SourceReport, no_progress


@dataclass(frozen=True)
class Probing:
    """How a source opens videos. It bears on how long that takes, and not on the clips.

    Attributes:
        workers: Processes that open videos; by default one a core.
        timeout_s: After which a video that does not open is given up.
        on_progress: Called with the numbers of videos done and to do.
    """

    workers: int | None = None
    timeout_s: float = 60.0
    on_progress: Progress = no_progress


DEFAULT_PROBING = Probing()


def open_all(
    paths: Sequence[Path], report: SourceReport, probing: Probing, *, thorough: bool = True
) -> dict[Path, VideoInfo]:
    """Open videos; those that give no clip, and those that decord misreads, go to the report.

    Args:
        paths: The files, below the report's root.
        report: Filled.
        probing: How they are opened.
        thorough: Whether to decode, and to put decord to the test; else packets are counted.
    """
    infos: dict[Path, VideoInfo] = {}
    workers = probing.workers or os.cpu_count() or 1
    results = probe_many(paths, workers=workers, timeout_s=probing.timeout_s, thorough=thorough)
    for done, (index, result) in enumerate(results, start=1):
        relative = paths[index].relative_to(report.root).as_posix()
        if isinstance(result, VideoError):
            report.unreadable.append((relative, str(result)))
        elif result.num_frames < MIN_FRAMES:
            reason = f"{result.num_frames} frames, a clip needs {MIN_FRAMES}"
            report.unreadable.append((relative, reason))
        elif not result.fps_hz > 0:
            report.unreadable.append((relative, "the file states no frame rate"))
        else:
            infos[paths[index]] = result
            if result.decoder == "pyav":
                report.distrusted.append((relative, result.note))
            if result.remark:
                report.remarked.append((relative, result.remark))
        probing.on_progress(done, len(paths))
    report.unreadable.sort()
    report.distrusted.sort()
    report.remarked.sort()
    return infos
