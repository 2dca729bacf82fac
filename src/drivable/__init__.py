"""Drivable-area semantic segmentation: direct lane, alternative lane, background.

>>> import drivable
>>> segmenter = drivable.load()
>>> label_map = segmenter.segment(drivable.read_image("road.jpg"))  # (H, W) ids: 0 direct, 1 alternative, 2 background
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drivable.imaging.images import read_image
    from drivable.imaging.overlay import draw_overlay
    from drivable.segmenter import load

__version__ = "0.1.0"
__all__ = ["__version__", "draw_overlay", "load", "read_image"]

_HOMES = {
    "draw_overlay": "drivable.imaging.overlay",
    "load": "drivable.segmenter",
    "read_image": "drivable.imaging.images",
}


def __getattr__(name: str) -> Any:
    # Importing the package must not import torch: `drivable --help` answers at once.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'drivable' has no attribute '{name}'")
