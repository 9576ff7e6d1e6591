"""Memory of the data path after some thousand clips: does it grow?

`python -m benchmarks.memory --manifest M` loads 20,000 clips (the paper's tuples) with the loader
of `vipl fit`, and prints the memory of all its processes (loaders and decoders; shared pages count
once, and those of libraries' files not at all: whose they are depends on what else runs) every
thousand clips. `ratio` is memory after 2,000 clips over memory after all: 0.95 means
that it has grown by 5%. Decoding processes are replaced after 4,000 clips each, so single figures
go up and down; each is the mean over the thousand clips before it. Linux only: it reads /proc.
"""

import argparse
import itertools
import json
import os
import statistics
from pathlib import Path

from benchmarks.machine import machine
from vipl.data.loading.datamodule import VideoDataModule

EVERY = 1000
REFERENCE = 2000


def memory_bytes(process: int | None = None) -> int:
    """Return the memory of a process, by default this one, and all below it."""
    folder = Path("/proc") / str(process or os.getpid())
    try:
        rollup = (folder / "smaps_rollup").read_text().splitlines()
        sizes = dict(line.split()[:2] for line in rollup[1:])
        kib = int(sizes["Pss_Anon:"]) + int(sizes["Pss_Shmem:"])
        below = [child for file in folder.glob("task/*/children") for child in _words(file)]
    except OSError:  # it has just ended
        return 0
    return 1024 * kib + sum(memory_bytes(int(child)) for child in below)


def _words(file: Path) -> list[str]:
    return file.read_text().split()


def measure(manifest: Path, *, clips: int, workers: int, decoder: str = "auto") -> list[float]:
    """Load clips; return mean memory in bytes over every thousand of them."""
    batch_size = 16
    module = VideoDataModule(
        str(manifest),
        batch_size=batch_size,
        num_workers=workers,
        decoder=decoder,  # type: ignore[arg-type]
        steps_per_epoch=clips // batch_size + 1,
    )
    means: list[float] = []
    seen: list[int] = []
    for number, batch in enumerate(itertools.islice(module.train_dataloader(), clips), start=1):
        del batch
        if number % 5 == 0:
            seen.append(memory_bytes())
        if number * batch_size // EVERY > len(means):
            means.append(statistics.mean(seen))
            seen = []
            print(f"{len(means) * EVERY:7d} clips {means[-1] / 2**20:8.1f} MiB", flush=True)
    return means


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--decoder", default="auto", choices=("auto", "decord", "pyav"))
    args = parser.parse_args()
    means = measure(args.manifest, clips=args.clips, workers=args.workers, decoder=args.decoder)
    early, late = means[REFERENCE // EVERY - 1], means[-1]
    line = {
        "name": "memory",
        "ratio": round(early / late, 4),
        "early_mib": round(early / 2**20, 1),
        "late_mib": round(late / 2**20, 1),
        "mib": [round(mean / 2**20, 1) for mean in means],
        "n": args.clips,
        "workers": args.workers,
        "machine": machine(),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
