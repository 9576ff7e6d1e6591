"""Training speed of small networks on this CPU, in float32 and in bfloat16.

`python -m benchmarks.networks` takes each network's two precisions in turn, several times over,
and prints images per second (forward, backward, Adam) and the ratio bfloat16 / float32. The
quickstart's network was chosen from this and from what each learns in a given time.
"""

import argparse
import json
import os
import statistics
import time

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch

from benchmarks.machine import machine
from vipl.models import Encoder

NETWORKS = (("resnet10t", 96), ("mobilenetv3_small_050", 96), ("resnet18", 112))
BATCH = 32


def images_per_second(encoder: Encoder, *, half: bool, seconds: float) -> float:
    optimizer = torch.optim.Adam(encoder.parameters(), lr=1e-4)
    size = encoder.image_size
    images = torch.randint(0, 256, (BATCH, 3, size, size), dtype=torch.uint8)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            embeddings = encoder(images)
        embeddings.float().square().mean().backward()
        optimizer.step()

    step()
    steps, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        step()
        steps += 1
    return steps * BATCH / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    args = parser.parse_args()
    result: dict[str, object] = {"name": "networks", "n": args.pairs}
    for name, size in NETWORKS:
        encoder = Encoder(name, output_dim=64, image_size=size)
        pairs = [
            [images_per_second(encoder, half=half, seconds=args.seconds) for half in (False, True)]
            for _ in range(args.pairs)
        ]
        single, half = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(pair[1] / pair[0] for pair in pairs)
        print(f"{name} at {size} px: {single:.0f} float32, {half:.0f} bfloat16, ratio {ratio:.2f}")
        result[name] = {"ratio": ratio, "float32": single, "bfloat16": half}
    first = result[NETWORKS[0][0]]
    assert isinstance(first, dict)
    result["ratio"] = first["ratio"]
    result["machine"] = machine()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
