"""Labels as shapes: what label files say, and how it becomes pixels."""

from drivable.data.annotations.frames import (
    IGNORE,
    Bitmap,
    Frame,
    Polygon,
    Rle,
    Shape,
    text_attributes,
    undrawn_regions,
)

__all__ = ["IGNORE", "Bitmap", "Frame", "Polygon", "Rle", "Shape", "text_attributes", "undrawn_regions"]
