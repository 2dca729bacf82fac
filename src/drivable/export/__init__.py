"""Trained models in a form to pass on, checked to be the same model."""

from drivable.export.checkpoint import Precision, export_checkpoint

__all__ = ["Precision", "export_checkpoint"]
