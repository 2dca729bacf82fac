"""The segmenter that runs the model in torch, on the CPU or a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from drivable.checkpoint import Checkpoint, find_checkpoint, load_checkpoint
from drivable.data.pictures import resize_image
from drivable.errors import ConfigError, DataError
from drivable.labels import LabelSet
from drivable.models.folding import fold_batch_norm
from drivable.segmenter.protocol import Image, LabelMap, Probabilities
from drivable.weights import DEFAULT_MODEL


class TorchSegmenter:
    """Run a checkpoint's model.

    A picture is resized to the size the network was trained at; its logits are brought back to the picture's own
    size before the arg max, so that borders fall between pixels of the picture and not of the network's grid.

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
        model = fold_batch_norm(checkpoint.build())
        self.model = model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

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
        """Several pictures, of one size or of many, in one pass of the network.

        Raises:
            DataError: where an array is not a picture.
        """
        if not images:
            return []
        logits = self._logits(images)
        return [
            # max().indices is several times faster than argmax on a CPU.
            _to_size(logits[i], image).max(dim=0).indices.to(torch.uint8).cpu().numpy()
            for i, image in enumerate(images)
        ]

    @torch.inference_mode()
    def probabilities(self, image: Image) -> Probabilities:
        """RGB (H, W, 3) uint8 -> (K, H, W) float32; over the classes each pixel sums to 1.

        Where the checkpoint was calibrated, at its temperature; the most probable class stays the same.

        Raises:
            DataError: where the array is not such a picture.
        """
        calibration = self.checkpoint.calibration
        logits = _to_size(self._logits([image])[0], image) / (1.0 if calibration is None else calibration.temperature)
        return np.asarray(F.softmax(logits, dim=0).cpu().numpy(), dtype=np.float32)

    def _logits(self, images: Sequence[Image]) -> Tensor:
        """(N, K, h, w) at the network's working size."""
        for image in images:
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
                raise DataError(f"a picture must be RGB (H, W, 3) uint8, got {image.dtype} {image.shape}")
        resized = np.stack([resize_image(image, self.checkpoint.preprocessing.size) for image in images])
        batch = torch.from_numpy(resized).to(self.device).permute(0, 3, 1, 2)
        logits: Tensor = self.model(batch.float() / 255)
        return logits.float()


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


def _to_size(logits: Tensor, image: Image) -> Tensor:
    """(K, h, w) -> (K, H, W) of the picture."""
    return F.interpolate(logits[None], size=image.shape[:2], mode="bilinear", align_corners=False)[0]


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
