"""What is wrong with the pictures of a frame folder: each that a manifest names is decoded."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vipl.data.decoding.containers import VideoError
from vipl.data.decoding.frame_folder import frame_numbers, frame_path
from vipl.data.decoding.pictures import read_picture
from vipl.data.manifests.manifest import Clip


def picture_faults(clips: Sequence[Clip], path: Path, *, workers: int) -> Iterator[str]:
    """Decode the pictures of a folder that its clips name; those that are missing are passed over.

    Args:
        clips: All of one folder.
        path: `folder/%06d.jpg`.
        workers: Threads that decode.

    Yields:
        At most one sentence: the first fault, and how many there are.
    """
    spans = [range(clip.start_frame, clip.end_frame, clip.stride) for clip in clips]
    wanted = [n for n in frame_numbers(path) if any(n in span for span in spans)]
    size = clips[0].width, clips[0].height
    pool = ThreadPoolExecutor(workers)
    try:
        results = pool.map(lambda n: _fault(frame_path(path, n), size), wanted)
        faults = [fault for fault in results if fault]
    finally:
        pool.shutdown(cancel_futures=True)
    if faults:
        more = f" {len(faults) - 1} more of its pictures are amiss." if len(faults) > 1 else ""
        yield f"{faults[0]}{more}"


def _fault(file: Path, size: tuple[int, int]) -> str:
    try:
        height, width = read_picture(file).shape[:2]
    except VideoError as error:
        return str(error)
    if (width, height) == size:
        return ""
    return f"{file}: is {width} x {height}, the manifest says {size[0]} x {size[1]}."
