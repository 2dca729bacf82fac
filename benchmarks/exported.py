"""int8 against float32, SegFormer-B3 and this machine's limit, and where the time goes.

    python benchmarks/exported.py LITE.xml LITE-INT8.xml [SEGFORMER_B3-INT8.xml] [--threads 2] [--rounds 40]

The files come from ``drivable export``. From a 360x640 picture in memory to its label map, all in turns in one run;
what is not the network is what OpenVINO's own profile shows before the file's first and after its last convolution.
"""

import argparse
import statistics
from pathlib import Path

import numpy as np

from drivable.benchmark import Settings, benchmark, machine, open_contender
from drivable.segmenter.description import KEY, ExportDescription
from drivable.segmenter.openvino_resize import RESIZE, resize_in_int8
from drivable.segmenter.openvino_segmenter import openvino_core

SIZE = (360, 640)


def outside_network(path: Path, threads: int, rounds: int) -> tuple[float, float, float]:
    """Median ms of a graph for 360x640 before, in and after the network, from OpenVINO's profile."""
    core = openvino_core()
    graph = core.read_model(path)
    graph.reshape([1, *SIZE, 3])
    if ExportDescription.from_json(graph.get_rt_info(KEY).astype(str), path).precision == "int8":
        resize_in_int8(graph)
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "PERF_COUNT": True}
    request = core.compile_model(graph, "CPU", options).create_infer_request()
    image = np.random.default_rng(0).integers(0, 256, (1, *SIZE, 3), dtype=np.uint8)
    parts = []
    for _ in range(rounds):
        request.infer([image], share_inputs=True)
        nodes = request.get_profiling_info()
        places = [
            place for place, node in enumerate(nodes) if "Convolution" in node.node_type and node.node_name != RESIZE
        ]
        times = [node.real_time.total_seconds() * 1e3 for node in nodes]
        first, last = places[0], places[-1] + 1
        parts.append((sum(times[:first]), sum(times[first:last]), sum(times[last:])))
    before, inside, after = (statistics.median(column) for column in zip(*parts[2:], strict=True))
    return before, inside, after


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()

    settings = Settings(SIZE, arguments.rounds, batch=1, num_threads=arguments.threads)
    names = ["segformer_b3", "drivable-lite", *arguments.files]
    contenders = [open_contender(name, SIZE, "cpu", arguments.threads) for name in names]
    rows, ceilings = benchmark(contenders, settings)
    print(machine(arguments.threads))
    print(f"{'':40s} {'p50 ms':>8s} {'p95 ms':>8s} {'B3 torch over':>14s} {'first over':>11s} {'over limit':>11s}")
    for row in rows:
        limit_ms = float("nan")
        if row.gmacs is not None and row.precision in ceilings:
            limit_ms = 2e3 * row.gmacs / ceilings[row.precision].convolution_gops
        print(
            f"{row.model + ' ' + row.precision:40s} {row.p50_ms:8.2f} {row.p95_ms:8.2f} "
            f"{rows[0].p50_ms / row.p50_ms:14.1f} {rows[2].p50_ms / row.p50_ms:11.2f} {row.p50_ms / limit_ms:11.2f}"
        )
    for precision, ceiling in ceilings.items():
        print(f"{precision}: {ceiling.convolution_gops:.0f}e9 operations a second in a large convolution")
    for name in arguments.files[:2]:
        before, inside, after = outside_network(Path(name), arguments.threads, arguments.rounds)
        total = before + inside + after
        print(
            f"{name}: {before:.2f} ms before, {inside:.2f} in, {after:.2f} after the network; not the network: "
            f"{(before + after) / total:.1%}"
        )


if __name__ == "__main__":
    main()
