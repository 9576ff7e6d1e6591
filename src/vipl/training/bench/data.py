"""How fast the data of a configuration come, and what a worker spends its time on."""

import itertools
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from vipl.data.loading.closing_loader import ClosingLoader
from vipl.data.loading.samples import Batch, TrainingSamples

_MIN_BATCHES = 3

Loaded = TypeVar("Loaded")


class DataTimes(NamedTuple):
    """What the data path brings, with nothing behind it.

    Attributes:
        clips_per_s: With all workers.
        images_per_s: With all workers.
        workers: Processes that load.
        clip_s: Seconds that one process alone takes for a clip.
        parts_s: Of these: "decode", "resample", and "transfer", which is all the rest: the way
            from the decoding process to the batch.
        failures: Clips that could not be read.
    """

    clips_per_s: float
    images_per_s: float
    workers: int
    clip_s: float
    parts_s: dict[str, float]
    failures: int


def time_data(loader: ClosingLoader[Batch], *, seconds: float) -> DataTimes:
    """Load batches for some seconds with the loader's workers, then clips one by one.

    Args:
        loader: Of training batches, without an end.
        seconds: That each of the two takes, once the workers have started.
    """
    clips_per_s, images, failures = _time_workers(loader, seconds)
    samples = loader.dataset
    assert isinstance(samples, TrainingSamples)
    clip_s, parts_s = _time_clips(samples, seconds)
    return DataTimes(
        clips_per_s, clips_per_s * images, loader.num_workers, clip_s, parts_s, failures
    )


def _time_workers(loader: ClosingLoader[Batch], seconds: float) -> tuple[float, int, int]:
    """Return clips a second, images of a clip, and clips that could not be read."""
    images = failures = 0

    def count(batch: Batch) -> int:
        nonlocal images, failures
        failures += len(batch.failures)
        if batch.frames.numel():
            images = batch.frames.flatten(0, -4).shape[0] // batch.num_clips
        return batch.num_clips

    return per_second(loader, count, seconds=seconds), images, failures


def per_second(
    loader: ClosingLoader[Loaded], count: Callable[[Loaded], int], *, seconds: float
) -> float:
    """Load batches for some seconds, once the workers have started and filled their queues.

    The workers are ended then: what they had begun would go on beside what is measured next.

    Args:
        loader: Without an end.
        count: Says for how much a batch counts.
        seconds: At the least.
    """
    batches = iter(loader)
    # What lies ready when the workers have started was not loaded in the time that is measured.
    for _ in range(loader.num_workers * (loader.prefetch_factor or 0) + 1):
        next(batches)
    number = total = 0
    start = time.perf_counter()
    while number < _MIN_BATCHES or time.perf_counter() - start < seconds:
        total += count(next(batches))
        number += 1
    elapsed_s = time.perf_counter() - start
    loader.close()
    return total / elapsed_s


def _time_clips(samples: TrainingSamples, seconds: float) -> tuple[float, dict[str, float]]:
    """Return seconds a clip in this process, and those of its parts."""
    reader = samples.reader
    samples[0]  # starts the decoding process
    parts = {"decode": 0.0, "resample": 0.0, "transfer": 0.0}
    clips, begin = 0, time.perf_counter()
    for number in itertools.count(1):
        start = time.perf_counter()
        batch = samples[number]
        elapsed = time.perf_counter() - start
        if not batch.failures:
            clips += 1
            for part, spent in reader.spent_s.items():
                parts[part] += spent
            parts["transfer"] += elapsed - sum(reader.spent_s.values())
        if clips and time.perf_counter() - begin > seconds:
            break
    return sum(parts.values()) / clips, {part: total / clips for part, total in parts.items()}
