"""Runtimes that are not always installed."""

from __future__ import annotations

import os
from importlib import import_module
from types import ModuleType

from drivable.errors import ConfigError
from drivable.interrupt import interrupted_afterwards


def need(module: str, purpose: str) -> ModuleType:
    """Import an optional library; Ctrl-C waits until it is whole.

    Args:
        module: its name.
        purpose: what it is needed for.

    Raises:
        ConfigError: where it is not installed; says what to install. Where it is, but does not load; says why.

    Example:
        >>> need("onnxruntime", "running .onnx files").get_available_providers()
        ['CPUExecutionProvider']
    """
    try:
        with interrupted_afterwards():
            return import_module(module)
    except ImportError as fault:
        if isinstance(fault, ModuleNotFoundError) and fault.name == module.partition(".")[0]:
            told = "which is not installed: pip install 'drivable[export]'"
        else:
            told = f"which is installed but does not load: {first_line(fault)}"
        raise ConfigError(f"{purpose} needs {module}, {told}") from fault


def first_line(fault: BaseException) -> str:
    """What an error of a runtime says, in one line: some begin with empty ones, or with where in their code it was.

    Example:
        >>> first_line(RuntimeError("Check 'ok' failed at a.cpp:1:\\nno such layer"))
        'no such layer'
    """
    lines = [line.strip() for line in str(fault).splitlines() if line.strip()]
    told = [line for line in lines if not line.endswith(":")]
    return (told or lines or [type(fault).__name__])[0][:300]


def num_cores() -> int:
    """Cores that this process may use, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
