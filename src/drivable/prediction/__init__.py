"""Segment pictures, folders and videos."""

from drivable.prediction.predict import PredictionResult, overlay_frames, predict
from drivable.prediction.sources import Sources, find_sources
from drivable.prediction.video import Frame, read_frames, read_video_info, video_writer

__all__ = [
    "Frame",
    "PredictionResult",
    "Sources",
    "find_sources",
    "overlay_frames",
    "predict",
    "read_frames",
    "read_video_info",
    "video_writer",
]
