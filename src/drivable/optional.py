"""Runtimes that are not always installed."""

from __future__ import annotations

import os
import re
from importlib import import_module
from types import ModuleType

from drivable.errors import ConfigError
from drivable.signals import interrupted_afterwards

# Where in a runtime's code it was: a file and line, and then a function and what it asked for.
_PLACE = re.compile(
    r"(?:Exception from |Check '[^']*' failed at )?[\w/.+-]{0,200}\.(?:cc|cpp|cu|cuh|h|hpp):\d+:?"
    r"(?: [\w:~<> ]*\([^()]*\)(?: const)?)?(?: (?:(?!\. ).)*? was false\.)? *"
)


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
    lines = [line.strip()[:1000] for line in str(fault)[:10_000].splitlines() if line.strip()]
    # A line that ends in a colon only says where; what follows says what.
    told = [said for line in lines if not line.endswith(":") and (said := _PLACE.sub("", line))]
    return (told or [type(fault).__name__])[0][:300]


def num_cores() -> int:
    """Cores that this process may use, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
