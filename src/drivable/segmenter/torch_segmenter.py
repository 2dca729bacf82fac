"""The segmenter that runs the model in torch, on the CPU or a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from drivable.checkpoint import Checkpoint, find_checkpoint, load_checkpoint
from drivable.errors import ConfigError, DataError
from drivable.labels import LabelSet
from drivable.models.folding import fold_batch_norm, fold_padding
from drivable.segmenter.graph import SegmenterGraph
from drivable.segmenter.protocol import Image, LabelMap, Probabilities
from drivable.weights import DEFAULT_MODEL


class TorchSegmenter:
    """Run a checkpoint's model.

    A picture is resized to the size that the model is to be used at; see :class:`SegmenterGraph`.

    Args:
        checkpoint: what to run.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``, or ``auto`` for a GPU where there is one.

    Raises:
        ConfigError: where there is no such device.
        CheckpointError: where the weights do not fit the model.

    Example:
        >>> TorchSegmenter(load_checkpoint(Path("runs/lite/best.safetensors"))).segment(image).shape
        (720, 1280)
    """

    def __init__(self, checkpoint: Checkpoint, device: str = "auto") -> None:
        self.checkpoint = checkpoint
        self.device = _device(device)
        model = fold_padding(fold_batch_norm(checkpoint.build()))
        model = model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        temperature = 1.0 if checkpoint.calibration is None else checkpoint.calibration.temperature
        self.graph = SegmenterGraph(model, checkpoint.preprocessing.size, temperature)

    @property
    def labels(self) -> LabelSet:
        """The classes of its label maps."""
        return self.checkpoint.labels

    def segment(self, image: Image) -> LabelMap:
        """RGB (H, W, 3) uint8 of any size -> ids (H, W) uint8 of that size.

        Raises:
            DataError: where the array is not such a picture.
        """
        return self.segment_batch([image])[0]

    @torch.inference_mode()
    def segment_batch(self, images: Sequence[Image]) -> list[LabelMap]:
        """Several pictures; those of one size in one pass of the network.

        Raises:
            DataError: where an array is not a picture.
        """
        for image in images:
            _check(image)
        label_maps: dict[int, LabelMap] = {}
        for size in dict.fromkeys(image.shape for image in images):
            places = [index for index, image in enumerate(images) if image.shape == size]
            ids = self.graph(self._to_device(np.stack([images[index] for index in places]))).cpu().numpy()
            label_maps.update(zip(places, ids, strict=True))
        return [label_maps[index] for index in range(len(images))]

    @torch.inference_mode()
    def probabilities(self, image: Image) -> Probabilities:
        """RGB (H, W, 3) uint8 -> (K, H, W) float32; over the classes each pixel sums to 1.

        Where the checkpoint was calibrated, at its temperature; the most probable class stays the same.

        Raises:
            DataError: where the array is not such a picture.
        """
        _check(image)
        return np.asarray(self.graph.probabilities(self._to_device(image[None]))[0].cpu().numpy(), dtype=np.float32)

    def _to_device(self, images: Image) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(images)).to(self.device)


def _check(image: Image) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise DataError(f"a picture must be RGB (H, W, 3) uint8, got {image.dtype} {image.shape}")


def load(model: str | Path = DEFAULT_MODEL, device: str = "auto") -> TorchSegmenter:
    """Load a trained model, ready to segment.

    Args:
        model: a run folder, a checkpoint file, or a shipped model's name; the model that is shipped where not given.
        device: see :class:`TorchSegmenter`.

    Raises:
        CheckpointError: where there is no such model or its file is damaged.
        ConfigError: where there is no such device.

    Example:
        >>> label_map = load().segment(read_image(Path("road.jpg")))
    """
    return TorchSegmenter(load_checkpoint(find_checkpoint(model)), device)


def _device(name: str) -> torch.device:
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
