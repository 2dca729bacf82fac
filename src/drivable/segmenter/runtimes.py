"""Runtimes that are not always installed."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from drivable.errors import ConfigError


def need(module: str, purpose: str) -> ModuleType:
    """Import an optional library.

    Args:
        module: its name.
        purpose: what it is needed for.

    Raises:
        ConfigError: where it is not installed; says what to install.

    Example:
        >>> need("onnxruntime", "running .onnx files").get_available_providers()
        ['CPUExecutionProvider']
    """
    try:
        return import_module(module)
    except ImportError as fault:
        raise ConfigError(
            f"{purpose} needs {module}, which is not installed: pip install 'drivable[export]'"
        ) from fault
