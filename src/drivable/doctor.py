"""What is installed, what this machine can do, and what to mend where something is wrong.

Nothing is imported before it is looked at: a library that does not load is a finding.
"""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path

from drivable import __version__
from drivable.errors import DrivableError, one_line
from drivable.optional import first_line, need, num_cores
from drivable.weights import DEFAULT_MODEL, licence

_SHARED_MEMORY = Path("/dev/shm")
# What a container has if nobody says otherwise; batches of the data workers stand in it.
_LEAST_FREE_MIB = 64
_SIZE = (360, 640)
_NUM_TIMED, _NUM_WARM_UP = 5, 2
# What programs import, what pip installs, and whether drivable works without it.
_LIBRARIES = (
    ("torch", "torch", False),
    ("numpy", "numpy", False),
    ("cv2", "opencv-python-headless", False),
    ("av", "av", False),
    ("openvino", "openvino", True),
    ("onnxruntime", "onnxruntime", True),
)
# As Linux calls them.
_OF_X86 = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
_OF_ARM = ("asimddp", "i8mm", "bf16")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        what: was looked at.
        found: what was found, in one line.
        remedy: what to do, where something is wrong.
    """

    what: str
    found: str
    remedy: str | None = None


def diagnose(on_finding: Callable[[], None] = lambda: None) -> list[Finding]:
    """Look at versions, runtimes, the machine and the model that is taken by default.

    Args:
        on_finding: called after each.

    Returns:
        Everything that was looked at; those with a remedy are wrong.

    Example:
        >>> [finding.remedy for finding in diagnose() if finding.remedy]
        []
    """
    findings = []
    for finding in _looked_at():
        findings.append(finding)
        on_finding()
    return findings


def _looked_at() -> Iterator[Finding]:
    yield Finding("python", f"{platform.python_version()}, {sys.executable}")
    yield Finding("drivable", f"{__version__}, {Path(__file__).parent}")
    versions = [_library(*library) for library in _LIBRARIES]
    yield from versions
    broken = {finding.what for finding in versions if finding.remedy is not None}
    # What does not load would be told once more by all that needs it.
    has_essentials = not broken & {"torch", "numpy", "opencv"}
    if has_essentials:
        yield from _guarded("torch devices", _torch_devices)
    if has_essentials and "openvino" not in broken and find_spec("openvino") is not None:
        yield from _guarded("openvino devices", _openvino_devices)
    if "onnxruntime" not in broken and find_spec("onnxruntime") is not None:
        yield from _guarded("onnxruntime providers", _onnx_providers)
    yield Finding("cores", f"{num_cores()} of {os.cpu_count()} usable")
    if has_essentials:
        yield from _guarded("instruction sets", _instructions)
    yield from _guarded("shared memory", _shared_memory)
    yield from _guarded("temporary folder", _temporary_folder)
    if has_essentials and "av" not in broken:
        yield from _guarded("H.264 encoders", _encoders)
    yield Finding("licence of the weights", licence(DEFAULT_MODEL))
    if has_essentials:
        yield from _guarded("model by default", _default_model)


def _guarded(what: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Findings, also of what fails while it is looked at."""
    try:
        yield from look()
    except DrivableError as fault:
        told, _, remedy = str(fault).partition("; ")
        yield Finding(what, told, remedy or told)
    # Everything: libraries of others, each with errors of its own.
    except Exception as fault:
        yield Finding(what, f"fails: {first_line(fault)}", "install drivable into a fresh environment and look again")


def _library(module: str, package: str, is_optional: bool) -> Finding:
    name = "opencv" if module == "cv2" else module
    if find_spec(module) is None:
        if is_optional:
            return Finding(name, "not installed; pip install 'drivable[export]' brings it")
        return Finding(name, "not installed", f"pip install {package}")
    try:
        loaded = need(module, "this check") if is_optional else import_module(module)
    # Everything: what a library's own start may raise.
    except Exception as fault:
        cause = fault.__cause__ if isinstance(fault, DrivableError) and fault.__cause__ is not None else fault
        package = _installed_as(module, package)
        return Finding(
            name,
            f"{_version_of(package)}, installed but does not load: {first_line(cause)}",
            f"pip install --force-reinstall {package}",
        )
    return Finding(name, one_line(getattr(loaded, "__version__", _version_of(package))))


def _installed_as(module: str, package: str) -> str:
    """What pip has installed a module with: ``onnxruntime-gpu``, for instance."""
    return next(iter(metadata.packages_distributions().get(module, [])), package)


def _version_of(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "version not known"


def _torch_devices() -> Iterator[Finding]:
    import torch

    from drivable.segmenter.devices import why_no_cuda

    found = ["cpu"]
    found += [f"cuda:{index} ({torch.cuda.get_device_name(index)})" for index in range(torch.cuda.device_count())]
    found += ["mps"] if torch.backends.mps.is_available() else []
    reason = why_no_cuda() if len(found) == 1 else None
    if reason is not None and shutil.which("nvidia-smi") is None:
        reason = reason.partition(";")[0]  # Nobody here lacks what an NVIDIA GPU would need.
    yield Finding("torch devices", ", ".join(found) + (f"; {reason}" if reason else ""))


def _openvino_devices() -> Iterator[Finding]:
    from drivable.segmenter.openvino import current_openvino, openvino_core

    current_openvino()
    core = openvino_core()
    named = (f"{device} ({core.get_property(device, 'FULL_DEVICE_NAME')})" for device in core.available_devices)
    yield Finding("openvino devices", one_line(", ".join(named)))


def _onnx_providers() -> Iterator[Finding]:
    providers = need("onnxruntime", "running .onnx files").get_available_providers()
    yield Finding("onnxruntime providers", ", ".join(providers))


def _instructions() -> Iterator[Finding]:
    from drivable.segmenter.devices import cpu_flags

    flags = cpu_flags()
    matter = _OF_ARM if platform.machine().lower() in ("aarch64", "arm64") else _OF_X86
    has = [name for name in matter if name in flags]
    lacks = [name for name in matter if name not in flags]
    told = (", ".join(has) or "none that matter") + (f"; not {', '.join(lacks)}" if lacks else "")
    yield Finding("instruction sets", told)


def _shared_memory() -> Iterator[Finding]:
    what, remedy = "shared memory", "give a container more with --shm-size 1g, or set data.num_workers=0"
    if _SHARED_MEMORY.is_dir():
        yield _free_space(what, _SHARED_MEMORY, remedy)
    else:
        yield Finding(what, f"{_SHARED_MEMORY} is not of this system")


def _temporary_folder() -> Iterator[Finding]:
    what = "temporary folder"
    try:
        folder = Path(tempfile.gettempdir())
    except FileNotFoundError:
        yield Finding(what, "none can be written into", "set TMPDIR to a folder that can be")
    else:
        yield _free_space(what, folder, "make room there, or set TMPDIR to another folder")


def _free_space(what: str, folder: Path, remedy: str) -> Finding:
    free_mib = shutil.disk_usage(folder).free / 2**20
    found = f"{folder}: {free_mib:,.0f} MiB free"
    if free_mib >= _LEAST_FREE_MIB:
        return Finding(what, found)
    return Finding(what, f"{found}, less than {_LEAST_FREE_MIB}", remedy)


def _encoders() -> Iterator[Finding]:
    import av

    from drivable.imaging.video import ENCODER

    found = [name for name in sorted(av.codecs_available) if "264" in name and _encodes(name)]
    told = ", ".join(found) or "none"
    if ENCODER in found:
        yield Finding("H.264 encoders", told)
    else:
        yield Finding(
            "H.264 encoders",
            f"{told}; videos are written with {ENCODER}, which is not among them",
            f"pip install --force-reinstall --only-binary av av, whose wheels have {ENCODER}",
        )


def _encodes(name: str) -> bool:
    from av.codec.codec import Codec, UnknownCodecError

    try:
        Codec(name, "w")
    except UnknownCodecError:
        return False
    return True


def _default_model() -> Iterator[Finding]:
    """What :func:`~drivable.segmenter.load` takes where nothing is said, and how fast it is."""
    import numpy as np
    import torch

    from drivable.segmenter import TorchSegmenter, load
    from drivable.segmenter.devices import has_fast_bf16
    from drivable.synthetic import render, sample_scene

    segmenter = load()
    told = DEFAULT_MODEL
    if isinstance(segmenter, TorchSegmenter):
        device = segmenter.device
        place = "on the CPU, since torch finds no GPU" if device.type == "cpu" else f"on {device}, a GPU"
        bf16 = "is faster on it" if has_fast_bf16(device) else "has no instructions on it"
        told += f" in torch {place}, in {segmenter.precision}, since nothing else was asked for (bf16 {bf16})"
    yield Finding("model by default", told)
    image = render(sample_scene(np.random.default_rng(0), _SIZE)).image
    times_ms = []
    for _ in range(_NUM_WARM_UP + _NUM_TIMED):
        start = time.perf_counter()
        segmenter.segment(image)
        times_ms.append((time.perf_counter() - start) * 1e3)
    median = statistics.median(times_ms[_NUM_WARM_UP:])
    yield Finding(
        "one image",
        f"{median:.1f} ms, a rendered road of {_SIZE[0]}x{_SIZE[1]}, median of {_NUM_TIMED}, torch threads: "
        f"{torch.get_num_threads()}",
    )
