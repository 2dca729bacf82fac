"""Time, memory and throughput of several models, taken in turns in one run."""

from __future__ import annotations

import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image

from drivable.benchmark.ceiling import Ceiling, Load, ceiling_loads
from drivable.benchmark.contenders import Contender, Size, foreign, open_contender
from drivable.errors import DrivableError
from drivable.imaging.images import Pixels, read_image
from drivable.segmenter import TorchPrecision
from drivable.synthetic import render, sample_scene

_NUM_PICTURES = 8
_NUM_WARM_UP = 2
# Worker threads of one runtime go on spinning for a moment after their work, at the cost of whoever is next.
_REST_S = 0.01
# In use one model runs at a time: its weights are in the caches, the clock is up. A small one takes several calls.
WARM_S = 0.02


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Args:
        size: (height, width) of the pictures.
        rounds: in each, every model segments one picture.
        batch: pictures at once for the second throughput.
        num_threads: of one picture.
        device: where torch computes.
        with_memory: whether each model's memory is measured, in a process of its own that opens it by its name.
    """

    size: Size
    rounds: int = 30
    batch: int = 4
    num_threads: int = 1
    device: str = "auto"
    with_memory: bool = True


@dataclass(frozen=True)
class Row:
    """What was measured of one model.

    Args:
        model: as the user named it.
        runtime: what ran it.
        precision: of its arithmetic or weights.
        height: of the pictures.
        width: of the pictures.
        p50_ms: median from a picture in memory to its label map.
        p95_ms: 95th percentile of the same.
        p50_with_io_ms: median from a JPEG file to the label map.
        p95_with_io_ms: 95th percentile of the same.
        images_per_s: one picture after the other.
        batch_images_per_s: ``batch`` at once.
        batch: how many.
        peak_mib: largest memory of a process that does nothing but load it and segment pictures; ``None`` where it was
            not measured.
        size_mib: of its weights or files.
        gmacs: multiply-accumulates of one picture as it is run, in 1e9.
        ceiling_share: rate at which it does them over the best in that precision of the CPU, or of the GPU where it
            runs there, 0..1.
        strict3: where data were given, 0..1.
    """

    model: str
    runtime: str
    precision: str
    height: int
    width: int
    p50_ms: float
    p95_ms: float
    p50_with_io_ms: float
    p95_with_io_ms: float
    images_per_s: float
    batch_images_per_s: float
    batch: int
    peak_mib: float | None
    size_mib: float
    gmacs: float | None
    ceiling_share: float | None
    strict3: float | None = None


def benchmark(
    contenders: Sequence[Contender], settings: Settings, on_round: Callable[[], None] = lambda: None
) -> tuple[list[Row], dict[str, Ceiling]]:
    """Measure models side by side: in every round each segments one rendered road from memory and one from its file,
    and the machine does the large products and convolutions whose rates are its limit.

    Each does it untimed for 20 ms right before.

    Args:
        contenders: what to measure.
        settings: how.
        on_round: called after each round.

    Returns:
        A row for each contender, and the limits by :attr:`Contender.limit`.

    Example:
        >>> rows, ceilings = benchmark([open_contender("drivable-lite", (360, 640))], Settings((360, 640)))
        >>> rows[0].p50_ms
        13.1
    """
    torch.set_num_threads(settings.num_threads)
    pictures = [render(sample_scene(np.random.default_rng(i), settings.size)).image for i in range(_NUM_PICTURES)]
    together = (pictures * settings.batch)[: settings.batch]
    loads = ceiling_loads((contender.limit for contender in contenders), settings.num_threads)
    with TemporaryDirectory() as folder:
        files = [Path(folder) / f"{index}.jpg" for index in range(_NUM_PICTURES)]
        for picture, file in zip(pictures, files, strict=True):
            Image.fromarray(picture).save(file, quality=90)
        runs = [partial(_from_memory, contender, pictures) for contender in contenders]
        runs += [partial(_from_files, contender, files) for contender in contenders]
        runs += [partial(_alone, load) for pair in loads.values() for load in (pair.product, pair.convolution)]
        times_ms = _interleaved(runs, settings.rounds, on_round)
    in_memory, with_io = times_ms[: len(contenders)], times_ms[len(contenders) : 2 * len(contenders)]
    limits_ms = iter(times_ms[2 * len(contenders) :])
    ceilings = {
        limit: Ceiling(pair.product.gops(_median(next(limits_ms))), pair.convolution.gops(_median(next(limits_ms))))
        for limit, pair in loads.items()
    }
    at_once = [partial(_at_once, contender, together) for contender in contenders]
    batches = _interleaved(at_once, max(3, settings.rounds // 4), on_round)
    rows = [
        Row(
            model=contender.name,
            runtime=contender.runtime,
            precision=contender.precision,
            height=settings.size[0],
            width=settings.size[1],
            p50_ms=_median(in_memory[index]),
            p95_ms=float(np.percentile(in_memory[index], 95)),
            p50_with_io_ms=_median(with_io[index]),
            p95_with_io_ms=float(np.percentile(with_io[index], 95)),
            images_per_s=1e3 / float(np.mean(in_memory[index])),
            batch_images_per_s=1e3 * settings.batch / float(np.mean(batches[index])),
            batch=settings.batch,
            peak_mib=peak_mib(contender, settings) if settings.with_memory else None,
            size_mib=contender.size_mib,
            gmacs=contender.gmacs,
            ceiling_share=_ceiling_share(contender, _median(in_memory[index]), ceilings),
        )
        for index, contender in enumerate(contenders)
    ]
    return rows, ceilings


def _from_memory(contender: Contender, pictures: Sequence[Pixels], number: int) -> None:
    contender.segment_batch([pictures[number % len(pictures)]])


def _from_files(contender: Contender, files: Sequence[Path], number: int) -> None:
    contender.segment_batch([read_image(files[number % len(files)])])


def _at_once(contender: Contender, pictures: Sequence[Pixels], number: int) -> None:
    contender.segment_batch(pictures)


def _alone(load: Load, number: int) -> None:
    load.run()


def _median(times_ms: Sequence[float]) -> float:
    return float(np.median(times_ms))


def _interleaved(runs: Sequence[Callable[[int], None]], rounds: int, on_round: Callable[[], None]) -> list[list[float]]:
    """Times in ms of each run, which is given the number of the round."""
    times_ms: list[list[float]] = [[] for _ in runs]
    for number in range(rounds + _NUM_WARM_UP):
        for run, own in zip(runs, times_ms, strict=True):
            time.sleep(_REST_S)
            start = time.perf_counter()
            while time.perf_counter() - start < WARM_S:
                run(number)
            start = time.perf_counter()
            run(number)
            if number >= _NUM_WARM_UP:
                own.append((time.perf_counter() - start) * 1e3)
        on_round()
    return times_ms


def _ceiling_share(contender: Contender, p50_ms: float, ceilings: dict[str, Ceiling]) -> float | None:
    ceiling = ceilings.get(contender.limit)
    if ceiling is None or contender.gmacs is None:
        return None
    return 2 * contender.gmacs / (p50_ms / 1e3) / ceiling.gops


def peak_mib(contender: Contender, settings: Settings) -> float:
    """Largest resident memory of a fresh process that loads a model and segments three pictures, in MiB.

    Raises:
        DrivableError: where that process was killed.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        task = pool.submit(_peak_mib, contender.name, contender.is_foreign, settings, contender.torch_precision)
        try:
            return task.result()
        except BrokenProcessPool as fault:
            raise DrivableError(
                f"{contender.name}: the process that measures its memory was killed, most often for want of memory; "
                "give a smaller --size"
            ) from fault


def _peak_mib(name: str, is_foreign: bool, settings: Settings, precision: TorchPrecision | None) -> float:
    torch.set_num_threads(settings.num_threads)
    if is_foreign:
        contender = foreign(Path(name), settings.num_threads)
    else:
        contender = open_contender(name, settings.size, settings.device, settings.num_threads, precision)
    for _ in range(3):
        contender.segment_batch([np.zeros((*settings.size, 3), dtype=np.uint8)])
    status = Path("/proc/self/status")
    if status.is_file():
        # Linux's ru_maxrss counts what the process that started this one had.
        peak_kib = next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(peak_kib) / 2**10
    import resource  # Not on Windows.

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def machine(num_threads: int) -> str:
    """One line on what was measured on."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        named = (line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line)
        processor = next(named, processor)
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{processor}, {os.cpu_count()} cores{gpu}, {num_threads} threads, torch {torch.__version__}"
