"""`vipl embed` against a plain loop over frames.

`python -m benchmarks.embed` embeds the same videos (your own, or generated ones of 456 x 256
pixels) with the same network in turn, several times over, each time in a process of its own, with
all cores:

- plain: PyAV decodes a frame, torchvision's transforms bring it to the network's input, the network
  embeds it, one by one, in float32;
- float32 and bf16: `vipl embed` by `--precision`, from the loading of the encoder to the finished
  file.

`ratio` is frames a second of `vipl embed` in float32, its default, over the plain loop's;
`bf16_ratio` is that of bfloat16. `network` is frames a second of the plain loop's and of the
command's networks alone: what there would be if decoding cost nothing.
"""

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import machine

PLAIN, WAYS = "plain", ("plain", "float32", "bf16")


def plain(encoder_folder: str, videos: list[str], out: str) -> int:
    """Embed one frame after the other; return how many."""
    import av
    import numpy as np
    import torch
    from torchvision import transforms

    network = plain_network(encoder_folder)
    transform = transforms.Compose(
        [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    embeddings = []
    with torch.inference_mode():
        for video in videos:
            with av.open(video) as container:
                for frame in container.decode(video=0):
                    image = transform(frame.to_image())
                    embeddings.append(network(image[None])[0].numpy())
    np.save(out, np.stack(embeddings))
    return len(embeddings)


def plain_network(encoder_folder: str) -> Any:
    """Return the network as timm makes it."""
    import torch

    from vipl import load_encoder

    return load_encoder(encoder_folder).network.to(memory_format=torch.contiguous_format)


def of_network(encoder_folder: str, seconds: float) -> dict[str, float]:
    """Return frames/s of the networks alone."""
    import torch

    from vipl import load_encoder
    from vipl.embed.network import PRECISIONS, Network
    from vipl.processes.allocator import keep_freed_memory

    keep_freed_memory()  # as the command does
    encoder = load_encoder(encoder_folder)
    images = torch.randint(0, 256, (64, 3, 224, 224), dtype=torch.uint8)
    calls: dict[str, tuple[int, Any]] = {}
    for precision in PRECISIONS:
        network = Network(encoder, device="cpu", precision=precision)
        calls[precision] = (64, functools.partial(network, images))
    one = functools.partial(plain_network(encoder_folder), torch.rand(1, 3, 224, 224))
    calls[PLAIN] = (1, one)
    rates = {}
    with torch.inference_mode():
        for name, (count, call) in calls.items():
            call()
            begin, done = time.perf_counter(), 0
            while time.perf_counter() - begin < seconds:
                call()
                done += count
            rates[name] = round(done / (time.perf_counter() - begin), 1)
    return rates


def measure(way: str, encoder_folder: str, videos: list[str], out: str, workers: int) -> float:
    """Return frames/s; the clock starts when the interpreter has imported all."""
    import numpy as np

    import vipl.embed.command
    from vipl.cli import main as command

    assert vipl.embed.command
    begin = time.perf_counter()
    if way == PLAIN:
        frames = plain(encoder_folder, videos, out)
    else:
        arguments = ["embed", "--encoder", encoder_folder, "--videos", *videos, "--out", out]
        assert command([*arguments, "--precision", way, "--workers", str(workers)]) == 0
        frames = len(np.load(out, mmap_mode="r"))
    return frames / (time.perf_counter() - begin)


def in_a_process(way: str, folder: Path, videos: list[str], args: argparse.Namespace) -> Any:
    """Call `measure` in a new process."""
    for old in folder.glob("out*"):
        old.unlink()
    command = [sys.executable, "-m", "benchmarks.embed", "--measure", way, "--videos", *videos]
    command += ["--folder", str(folder), "--workers", str(args.workers)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", nargs="+", help="your own files (generated ones)")
    parser.add_argument("--clips", type=int, default=6, help="that are generated (6)")
    parser.add_argument("--length", type=float, default=4.0, help="of each, in seconds (4)")
    parser.add_argument("--network", default="resnet18", help="of timm's (resnet18)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        encoder = str(Path(args.folder) / "encoder")
        if args.measure == "network":
            print(json.dumps(of_network(encoder, 3.0)))
        else:
            out = str(Path(args.folder) / "out.npy")
            print(json.dumps(measure(args.measure, encoder, args.videos, out, args.workers)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare(folder, args)
        report(folder, args)


def prepare(folder: Path, args: argparse.Namespace) -> None:
    """Save an encoder, and generate videos where there are none."""
    from benchmarks.data import generated
    from vipl.models import Encoder, save_encoder

    save_encoder(Encoder(args.network), folder / "encoder")
    if not args.videos:
        generated(folder, args.clips, args.length)
        args.videos = sorted(str(path) for path in folder.glob("*.mp4"))


def report(folder: Path, args: argparse.Namespace) -> None:
    """Measure each way in turn, and print the line of JSON."""
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    networks: list[dict[str, float]] = []
    for number in range(args.rounds):
        for way in WAYS:
            rates[way].append(in_a_process(way, folder, args.videos, args))
        networks.append(in_a_process("network", folder, args.videos, args))
        shown = ", ".join(f"{way} {values[-1]:.1f}" for way, values in rates.items())
        print(f"round {number + 1} of {args.rounds}: {shown} frames/s", flush=True)
    ratios = {
        way: statistics.median(a / b for a, b in zip(rates[way], rates[PLAIN], strict=True))
        for way in WAYS
    }
    line = {
        "name": "embed",
        "ratio": round(ratios["float32"], 3),
        "bf16_ratio": round(ratios["bf16"], 3),
        **{way: round(statistics.median(values), 1) for way, values in rates.items()},
        "unit": "frames/s",
        "network": {way: statistics.median(n[way] for n in networks) for way in WAYS},
        "encoder": args.network,
        "n": args.rounds,
        "workers": args.workers,
        "machine": machine(),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
