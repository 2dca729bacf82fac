"""Where torch computes."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from drivable.errors import ConfigError
from drivable.optional import first_line

_log = logging.getLogger(__name__)

_CPUINFO = Path("/proc/cpuinfo")
# What Linux calls the instructions that compute in bfloat16, on x86 and ARM.
_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


def find_device(name: str) -> torch.device:
    """``cpu``, ``cuda``, ``cuda:1``, ``mps``, or ``auto`` for a GPU where there is one.

    Raises:
        ConfigError: where there is no such device.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as fault:
        missing = why_no_cuda() if name.partition(":")[0] == "cuda" else None
        raise ConfigError(f"device '{name}' is not to be had here: {missing or first_line(fault)}") from fault
    return device


def has_fast_bf16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16 itself, so that it is faster than float32.

    Linux says so of a CPU (``avx512_bf16``, AMX, ARM's ``bf16``), elsewhere torch does; of Apple's nothing is known.

    Example:
        >>> has_fast_bf16(torch.device("cpu"))
        True
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    return not _BF16_FLAGS.isdisjoint(cpu_flags())


def cpu_flags() -> frozenset[str]:
    """Instruction sets of this CPU under Linux's names; where it is another system, what torch knows under its own.

    Example:
        >>> "avx2" in cpu_flags()
        True
    """
    if not _CPUINFO.is_file():
        return frozenset(name for name, has in torch.cpu.get_capabilities().items() if has is True)
    lines = (line.partition(":") for line in _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines())
    return frozenset(next((value.split() for key, _, value in lines if key.strip() in ("flags", "Features")), []))


def why_no_cuda() -> str | None:
    """Why torch computes on no CUDA device here, and what to install, in one line; ``None`` where it does.

    Example:
        >>> why_no_cuda()
        "torch 2.13.0+cpu is a build without CUDA; install one with it: ..."
    """
    if torch.cuda.is_available():
        return None
    if torch.version.cuda is None and torch.version.hip is None:
        return (
            f"torch {torch.__version__} is a build without CUDA; install one with it: pip install --force-reinstall "
            "torch (on Windows as https://pytorch.org/get-started says)"
        )
    return f"torch {torch.__version__} finds no GPU; install NVIDIA's driver, and start a container with --gpus all"


def warn_of_slow_bf16(device: torch.device, instead: str) -> None:
    """Say what bfloat16 costs where the device has none.

    Args:
        device: that is to compute in bfloat16.
        instead: what to choose there.
    """
    if not has_fast_bf16(device):
        _log.warning(
            "bfloat16 is asked for, and this %s has no instructions for it: products can take 250 times as long as in "
            "float32, a step of training 16 times; choose %s",
            {"cpu": "CPU", "cuda": "GPU"}.get(device.type, device.type), instead,
        )  # fmt: skip
