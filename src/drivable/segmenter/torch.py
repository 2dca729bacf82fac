"""The segmenter that runs the model in torch, on the CPU or a GPU."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drivable.checkpoint import Checkpoint
from drivable.errors import CheckpointError
from drivable.labels import LabelSet
from drivable.models.folding import fold, fold_padding
from drivable.segmenter.base import Segmenter
from drivable.segmenter.cuda_graphs import Recorder
from drivable.segmenter.devices import find_device, warn_of_slow_bf16
from drivable.segmenter.graph import UNKNOWN_ID, calibrated_graph
from drivable.segmenter.protocol import Image, Origin, Probabilities, SegmenterInfo

TorchPrecision = Literal["fp32", "bf16"]


class TorchSegmenter(Segmenter):
    """Run a checkpoint's model.

    A picture is resized to the size that the model is to be used at; see
    :class:`~drivable.segmenter.graph.SegmenterGraph`.

    Args:
        checkpoint: what to run.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``, or ``auto`` for a GPU where there is one.
        precision: of the network's convolutions and products; ``bf16`` takes half the time for large models where the
            processor has it, and is warned of where it has not.

    Raises:
        ConfigError: where there is no such device.
        CheckpointError: where the weights do not fit the model; where classes have no background to fall back on, here
            and of each image also where logits are no numbers.

    Example:
        >>> TorchSegmenter(load_checkpoint(Path("runs/lite/best.safetensors"))).segment(image).shape
        (720, 1280)
    """

    def __init__(self, checkpoint: Checkpoint, device: str = "auto", precision: TorchPrecision = "fp32") -> None:
        self.checkpoint = checkpoint
        self.precision = precision
        self.device = find_device(device)
        if precision == "bf16":
            warn_of_slow_bf16(self.device, "precision fp32")
        model = fold_padding(fold(checkpoint.build()))
        model = model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.graph = calibrated_graph(checkpoint, model, checkpoint.preprocessing.size).to(self.device)
        # The exported graph has no such answer.
        self.graph.marks_unknown = checkpoint.labels.background_id is None
        self._recorder = Recorder(self._segment, self.device) if self.device.type == "cuda" else None

    @property
    def labels(self) -> LabelSet:
        """The classes of its label maps."""
        return self.checkpoint.labels

    @property
    def origin(self) -> Origin:
        """Where it comes from."""
        about = self.checkpoint
        return Origin(about.where, about.spec.name, about.splits, about.calibration)

    @property
    def info(self) -> SegmenterInfo:
        """How it computes."""
        about = self.checkpoint
        size = about.preprocessing.size
        return SegmenterInfo(about.labels, size, "torch", str(self.device), self.precision, about.calibration)

    @torch.inference_mode()
    def _class_probabilities(self, images: Image) -> Probabilities:
        with self._casting():
            probabilities = self.graph.probabilities(torch.from_numpy(np.ascontiguousarray(images)).to(self.device))
        answer = np.asarray(probabilities.cpu().numpy(), dtype=np.float32)
        self._require_known(np.isnan(answer))
        return answer

    @torch.inference_mode()
    def _ids(self, images: Image) -> NDArray[np.uint8]:
        pixels = torch.from_numpy(np.ascontiguousarray(images))
        ids = self._recorder(pixels) if self._recorder is not None else self._segment(pixels.to(self.device)).cpu()
        answer = np.asarray(ids.numpy(), dtype=np.uint8)
        self._require_known(answer == UNKNOWN_ID)
        return answer

    def _require_known(self, are_unknown: NDArray[np.bool_]) -> None:
        if self.graph.marks_unknown and are_unknown.any():
            raise CheckpointError(
                f"{self.checkpoint.where}: of this image its logits are no numbers, and its classes have no background "
                "to fall back on; its training diverged or the file is damaged: copy it or train it again"
            )

    def _segment(self, pixels: Tensor) -> Tensor:
        with self._casting():
            ids: Tensor = self.graph(pixels)
        return ids

    def _casting(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")
