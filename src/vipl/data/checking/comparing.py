"""What a manifest says of a file, compared with what the file holds."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pyarrow.compute as pc

from vipl.data.checking.presence import missing_files
from vipl.data.decoding.frame_folder import is_frame_folder
from vipl.data.decoding.probe import VideoInfo
from vipl.data.decoding.video import VideoError
from vipl.data.manifests.manifest import Clip, Manifest
from vipl.data.processes.pool import probe_many
from vipl.errors import UserError

_A_FEW = 5

# A rate is another one if it differs by more, or puts the last frame elsewhere by more seconds.
_RATE_SHARE = 0.01
_RATE_SHIFT_S = 0.1


def rate_difference(said_hz: float, info: VideoInfo, teller: str = "the manifest") -> str:
    """Say how a rate differs from that of a file; "" where frames are shown when it says.

    Args:
        said_hz: Frames a second, above 0.
        info: Of the file; pictures have no rate, 0.
        teller: Who says so.
    """
    if not info.fps_hz > 0:
        return ""
    shift_s = info.num_frames * abs(1 / said_hz - 1 / info.fps_hz)
    if abs(said_hz / info.fps_hz - 1) <= _RATE_SHARE and shift_s <= _RATE_SHIFT_S:
        return ""
    return f"has {info.fps_hz:.6g} frames a second, {teller} says {said_hz:.6g}"


def differences(clips: Sequence[Clip], result: VideoInfo | VideoError) -> Iterator[str]:
    """Yield what a manifest says wrongly of a file.

    Args:
        clips: Of the file, one at least.
        result: What the file holds, or why it cannot be read.
    """
    if isinstance(result, VideoError):
        yield str(result)
        return
    end = max(clip.end_frame for clip in clips)
    if end > result.num_frames:
        yield f"has {result.num_frames} frames, the manifest names frame {end - 1}"
    rates = (rate_difference(fps, result) for fps in sorted({clip.fps for clip in clips}))
    if rate := next(filter(None, rates), ""):
        yield rate
    sizes = {(clip.width, clip.height) for clip in clips} - {(result.width, result.height)}
    if sizes:
        width, height = min(sizes)
        yield f"is {result.width} x {result.height}, the manifest says {width} x {height}"
    elif result.decoder == "pyav" and any(clip.decoder == "any" for clip in clips):
        yield f"{result.note}, and the manifest does not send it to PyAV"


def compare_a_few(manifest: Manifest, trusted: str, *, timeout_s: float) -> list[tuple[str, str]]:
    """Open a few files, spread over those that are there; return (path, what differs).

    Args:
        manifest: Whose rates, counts and sizes a file of the data set tells.
        trusted: That file's name.
        timeout_s: After which a video that does not open is given up.

    Raises:
        UserError: If a rate is another than the file says: clips would lie at other times.
    """
    column, missing = manifest.table.column("path"), set(missing_files(manifest))
    there = sorted(set(pc.unique(column).to_pylist()) - missing)
    paths = [path for path in there if not is_frame_folder(path)]
    paths = paths[:: max(1, -(-len(paths) // _A_FEW))]
    files = [manifest.root / path for path in paths]
    found = []
    for index, info in probe_many(files, workers=_A_FEW, timeout_s=timeout_s, thorough=False):
        clips = list(replace(manifest, table=manifest.table.filter(pc.equal(column, paths[index]))))
        rate = rate_difference(clips[0].fps, info, trusted) if isinstance(info, VideoInfo) else ""
        if rate:
            raise UserError(
                f"{paths[index]} {rate}, and clips would lie at other times: open every video by "
                f"--probe, or mend {trusted}"
            )
        found += [(paths[index], text) for text in differences(clips, info)]
    return sorted(found)
