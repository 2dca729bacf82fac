"""int8 against float32, SegFormer-B3 and this machine's limit, and where the time goes.

    python benchmarks/exported.py LITE.xml LITE-INT8.xml [SEGFORMER-INT8.xml ...] [--threads 2] [--rounds 12]

The files come from ``drivable export``. From a 360x640 picture in memory to its label map, all in turns in one run;
what is not the network is what OpenVINO's own profile shows before the file's first and after its last convolution.

"Eager" is a SegFormer in torch as its paper builds it, nothing folded; the table also has it as drivable runs it in
torch. Lite is set against SegFormer-B3 with the course's decoder, a SegFormer's file against its own architecture.
"""

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from drivable.benchmark import Contender, Row, Settings, benchmark, machine, open_contender, untrained
from drivable.config.models import SegFormerSpec
from drivable.imaging.images import Pixels
from drivable.models.cost import model_cost
from drivable.segmenter import ExportedSegmenter, TorchSegmenter
from drivable.segmenter.graph import calibrated_graph
from drivable.segmenter.openvino import openvino_core

SIZE = (360, 640)
COURSE = SegFormerSpec(name="segformer_b3")


def in_torch(spec: SegFormerSpec) -> list[Contender]:
    """A SegFormer with random weights in torch, as it is built and as drivable runs it."""
    checkpoint = untrained(spec, SIZE)
    graph = calibrated_graph(checkpoint, checkpoint.build().to(memory_format=torch.channels_last), SIZE)

    @torch.inference_mode()
    def eager(images: Sequence[Pixels]) -> np.ndarray:
        return graph(torch.from_numpy(np.stack(images))).numpy()

    cost, name = model_cost(spec, SIZE), f"{spec.name}, {spec.decoder_channels} channels"
    folded = TorchSegmenter(checkpoint, "cpu").segment_batch
    return [
        Contender(name, "torch, eager", "fp32", eager, cost.weights_mib, cost.gmacs, on_cpu=True),
        Contender(name, "torch, folded", "fp32", folded, cost.weights_mib, None, on_cpu=True),
    ]


def architecture(contender: Contender) -> SegFormerSpec | None:
    """Of a SegFormer's file."""
    assert isinstance(contender.segmenter, ExportedSegmenter)
    model = contender.segmenter.description.model
    return SegFormerSpec.model_validate(model) if model["name"].startswith("segformer") else None


def outside_network(path: Path, threads: int, rounds: int) -> tuple[float, float, float]:
    """Median ms of a graph for 360x640 before, in and after the network, from OpenVINO's profile."""
    core = openvino_core()
    graph = core.read_model(path)
    graph.reshape([1, *SIZE, 3])
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "PERF_COUNT": True}
    request = core.compile_model(graph, "CPU", options).create_infer_request()
    image = np.random.default_rng(0).integers(0, 256, (1, *SIZE, 3), dtype=np.uint8)
    parts = []
    for _ in range(rounds):
        request.infer([image], share_inputs=True)
        nodes = request.get_profiling_info()
        places = [place for place, node in enumerate(nodes) if "Convolution" in node.node_type]
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
    parser.add_argument("--rounds", type=int, default=12)
    arguments = parser.parse_args()

    settings = Settings(SIZE, arguments.rounds, batch=1, num_threads=arguments.threads, with_memory=False)
    files = [open_contender(name, SIZE, "cpu", arguments.threads) for name in arguments.files]
    specs = [architecture(file) or COURSE for file in files]
    baselines = {spec: in_torch(spec) for spec in [COURSE, *specs]}
    contenders = [*(each for pair in baselines.values() for each in pair), open_contender("drivable-lite", SIZE, "cpu")]
    rows, ceilings = benchmark([*contenders, *files], settings)
    eager_ms = {spec: rows[2 * place].p50_ms for place, spec in enumerate(baselines)}
    against = [spec for spec in baselines for _ in range(2)] + [COURSE, *specs]
    first_file = rows[len(contenders)]

    def over_limit(row: Row) -> float:
        if row.gmacs is None or row.precision not in ceilings:
            return float("nan")
        return row.p50_ms / (2e3 * row.gmacs / ceilings[row.precision].convolution_gops)

    print(machine(arguments.threads))
    print(f"{'':54s} {'p50 ms':>8s} {'p95 ms':>8s} {'eager over':>11s} {'first over':>11s} {'over limit':>11s}")
    for row, spec in zip(rows, against, strict=True):
        print(
            f"{f'{row.model}, {row.runtime}, {row.precision}':54s} {row.p50_ms:8.2f} {row.p95_ms:8.2f} "
            f"{eager_ms[spec] / row.p50_ms:11.1f} {first_file.p50_ms / row.p50_ms:11.2f} {over_limit(row):11.2f}"
        )
    for precision, ceiling in ceilings.items():
        print(f"{precision}: {ceiling.convolution_gops:.0f}e9 operations a second in a large convolution")
    for name in arguments.files[:2]:
        before, inside, after = outside_network(Path(name), arguments.threads, 40)
        total = before + inside + after
        print(
            f"{name}: {before:.2f} ms before, {inside:.2f} in, {after:.2f} after the network; not the network: "
            f"{(before + after) / total:.1%}"
        )


if __name__ == "__main__":
    main()
