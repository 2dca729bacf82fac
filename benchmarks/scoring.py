"""What scoring costs: bootstrap time, metrics against inference, and memory against the number of pictures.

    python benchmarks/scoring.py DATA [--model MODEL] [--splits course] [--pictures 100]

Metrics and inference take turns on the same pictures in one run; memory is the peak of a process of its own that scores
the 343 pictures of the test split, and of one that scores them ten times over.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time

import numpy as np

from drivable.data import open_data, read_pair, select_split
from drivable.evaluation import Evaluation, ModelPredictions, PictureScore, evaluate
from drivable.evaluation.evaluate import score_picture
from drivable.labels import BDD100K_DRIVABLE
from drivable.metrics import COLUMNS, Reliability
from drivable.segmenter import load
from drivable.weights import DEFAULT_MODEL


def bootstrap_seconds(num_pictures: int = 10_000) -> float:
    """Time for all intervals of all protocols, classes and safety measures."""
    rng = np.random.default_rng(0)
    pictures = tuple(
        PictureScore(str(i), rng.integers(0, 1000, (3, 3)), rng.random(len(COLUMNS)), 100.0, {}, None, 0)
        for i in range(num_pictures)
    )
    found = Evaluation(BDD100K_DRIVABLE, pictures, 0, None, None)
    start = time.perf_counter()
    assert len(found.protocols) == 5
    assert found.safety
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--splits", default="course")
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    data = open_data(arguments.data)
    samples = select_split(data, "test", arguments.splits)
    predictor = ModelPredictions(load(arguments.model))
    if arguments.repeat:
        evaluate(predictor, samples * arguments.repeat, data.labels, data.attributes).to_dict()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return

    print(f"bootstrap of 1,000 draws over 10,000 pictures: {bootstrap_seconds():.2f} s")
    inference, metrics = [], []
    reliability = Reliability()
    for sample in samples[: arguments.pictures + 5]:
        image, actual = read_pair(sample)
        start = time.perf_counter()
        ((predicted, confidence),) = predictor.answer([sample], [image])
        between = time.perf_counter()
        score_picture(sample.id, image, actual, predicted, confidence, data.labels, {}, None, reliability)
        end = time.perf_counter()
        inference.append(between - start)
        metrics.append(end - between)
    ratio = statistics.median(metrics) / statistics.median(inference)
    print(f"metrics over inference, medians of {len(metrics)} pictures of 360x640: {ratio:.3f} "
          f"({1e3 * statistics.median(metrics):.1f} and {1e3 * statistics.median(inference):.1f} ms)")  # fmt: skip
    peaks = []
    for repeat in (1, 10):
        command = [sys.executable, __file__, arguments.data, "--model", arguments.model, "--splits", arguments.splits]
        done = subprocess.run([*command, "--repeat", str(repeat)], capture_output=True, text=True, check=True)
        peaks.append(float(done.stdout.split()[-1]))
    print(f"peak memory, {10 * len(samples)} pictures over {len(samples)}: {peaks[1] / peaks[0]:.3f} "
          f"({peaks[0]:.0f} and {peaks[1]:.0f} MiB)")  # fmt: skip


if __name__ == "__main__":
    main()
