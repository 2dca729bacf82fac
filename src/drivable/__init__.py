"""Drivable-area semantic segmentation: direct lane, alternative lane, background.

>>> import drivable
>>> result = drivable.load()("road.jpg")  # or a NumPy array, a PIL image, a torch tensor
>>> result.share("direct")
0.17
>>> overlay = result.overlay()  # RGB (H, W, 3)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drivable.imaging.images import read_image
    from drivable.imaging.overlay import draw_overlay
    from drivable.segmenter import Segmentation, Segmenter, load

__version__ = "0.1.0"
__all__ = ["Segmentation", "Segmenter", "__version__", "draw_overlay", "load", "read_image"]

_HOMES = {
    "Segmentation": "drivable.segmenter",
    "Segmenter": "drivable.segmenter",
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


def __dir__() -> list[str]:
    return sorted(__all__)
