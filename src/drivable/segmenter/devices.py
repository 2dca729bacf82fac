"""Where torch computes."""

from __future__ import annotations

import torch

from drivable.errors import ConfigError


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
        raise ConfigError(f"device '{name}' is not to be had here: {str(fault).splitlines()[0]}") from fault
    return device
