"""Time per picture of trained models against SegFormer-B3, all in torch, interleaved in one run.

    python benchmarks/latency.py [MODEL...] [--threads 2] [--rounds 15]

From a 360x640 RGB picture in memory to its label map; the median of each model, and how many times faster than
SegFormer-B3 at 360x640 it is. A MODEL counts twice: at the size it works at, and made to work at 360x640.
"""

import argparse
import statistics
import time
from dataclasses import replace

import numpy as np
import torch

from drivable.benchmark import untrained
from drivable.checkpoint import find_checkpoint, load_checkpoint
from drivable.segmenter import TorchSegmenter
from drivable.weights import DEFAULT_MODEL

SIZE = (360, 640)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=[DEFAULT_MODEL])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    reference = "segformer_b3 at 360x640"
    checkpoints = {reference: untrained("segformer_b3", SIZE)}
    for model in arguments.models:
        checkpoint = load_checkpoint(find_checkpoint(model))
        for size in dict.fromkeys((checkpoint.preprocessing.size, SIZE)):
            sized = replace(checkpoint, preprocessing=replace(checkpoint.preprocessing, size=size))
            checkpoints[f"{model} at {size[0]}x{size[1]}"] = sized
    segmenters = {name: TorchSegmenter(checkpoint, "cpu") for name, checkpoint in checkpoints.items()}

    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    times_ms: dict[str, list[float]] = {name: [] for name in segmenters}
    for round_number in range(arguments.rounds + 1):
        for name, segmenter in segmenters.items():
            segmenter.segment(image)  # Its weights are back in the caches: one model runs at a time in use.
            start = time.perf_counter()
            segmenter.segment(image)
            if round_number:  # The first warms up.
                times_ms[name].append((time.perf_counter() - start) * 1e3)
    medians = {name: statistics.median(times) for name, times in times_ms.items()}
    print(f"torch {torch.__version__}, {arguments.threads} threads, {arguments.rounds} interleaved rounds")
    for name, median in medians.items():
        print(f"{name:40s} {median:8.1f} ms   {medians[reference] / median:6.1f} times as fast")


if __name__ == "__main__":
    main()
