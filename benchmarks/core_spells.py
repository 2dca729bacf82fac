"""An OpenVINO file while two cores are near each other and while they are far apart, as their host moves them.

    gcc -O2 -pthread benchmarks/core_distance.c -o core_distance
    python benchmarks/core_spells.py lite-int8.xml --distance ./core_distance --seconds 150

Spells of a few seconds, each between two measurements of the distance; what the two do not agree on is left out.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from drivable.segmenter.description import KEY, ExportDescription
from drivable.segmenter.openvino_resize import resize_in_int8
from drivable.segmenter.openvino_segmenter import OpenVINOSegmenter, compile_graph, openvino_core

SIZE = (360, 640)
FAR_NS = 150
ROUNDS = 20


def run_of(path: Path, num_pictures: int, num_threads: int, num_streams: int) -> Callable[[], None]:
    """Segments so many pictures in one pass in each stream, all at once; streams share the threads, but each has
    memory of its own."""
    graph = openvino_core().read_model(path)
    graph.reshape([num_pictures, *SIZE, 3])
    if ExportDescription.from_json(graph.get_rt_info(KEY).astype(str), path).precision == "int8":
        resize_in_int8(graph)
    compiled = compile_graph(graph, False, "CPU", num_threads, num_streams)
    streams = [compiled.create_infer_request() for _ in range(num_streams)]
    images = pictures(num_pictures)

    def run() -> None:
        for stream in streams:
            stream.start_async([images], share_inputs=True)
        for stream in streams:
            stream.wait()

    return run


def pictures(num: int) -> Any:
    """(num, H, W, 3) uint8."""
    return np.random.default_rng(0).integers(0, 256, (num, *SIZE, 3), dtype=np.uint8)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--distance", required=True, help="the compiled core_distance.c")
    parser.add_argument("--seconds", type=float, default=150)
    arguments = parser.parse_args()

    def distance_ns() -> float:
        told = subprocess.run([arguments.distance, "0", "1"], capture_output=True, text=True, check=True).stdout
        return float(told.split()[0])

    runs: dict[str, Callable[[], Any]] = {
        "two threads, one picture": run_of(arguments.file, 1, 2, 1),
        "one thread, one picture": run_of(arguments.file, 1, 1, 1),
        "two pictures, a thread each": run_of(arguments.file, 1, 2, 2),
        "two threads, four in one pass": run_of(arguments.file, 4, 2, 1),
        "four as the segmenter does": partial(OpenVINOSegmenter(arguments.file, "cpu", 2).run, pictures(4)),
    }
    spells = defaultdict(list)
    end = time.monotonic() + arguments.seconds
    while time.monotonic() < end:
        before = distance_ns()
        times_ms: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(ROUNDS):
            for name, run in runs.items():
                run()  # Its threads and memory are cold after the others'.
                start = time.perf_counter()
                run()
                times_ms[name].append((time.perf_counter() - start) * 1e3)
        are_far = {before > FAR_NS, distance_ns() > FAR_NS}
        if len(are_far) == 1:
            spells[are_far.pop()].append([statistics.median(column) for column in times_ms.values()])
    for is_far, rows in sorted(spells.items()):
        print(f"cores {'apart' if is_far else 'together'}, medians of {len(rows)} spells")
        for name, column in zip(runs, zip(*rows, strict=True), strict=True):
            print(f"  {name:30s} {statistics.median(column):6.2f} ms")


if __name__ == "__main__":
    main()
