"""Segment images, folders and films, and write what was seen."""

from drivable.prediction.predict import PredictionResult, overlay_frames, predict

__all__ = ["PredictionResult", "overlay_frames", "predict"]
