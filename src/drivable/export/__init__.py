"""Trained models for other runtimes and to pass on, checked to be the same model."""

from drivable.export.checkpoint import export_checkpoint
from drivable.export.export import export_model
from drivable.export.parity import LabelledPictures, rendered_pictures
from drivable.export.settings import SUFFIXES, ExportSettings

__all__ = [
    "SUFFIXES",
    "ExportSettings",
    "LabelledPictures",
    "export_checkpoint",
    "export_model",
    "rendered_pictures",
]
