"""Random changes to batches of training pictures and their label maps, on whatever device they are."""

from __future__ import annotations

from typing import Any

import torch
from kornia.augmentation import (
    AugmentationSequential,
    ColorJiggle,
    RandomGaussianBlur,
    RandomHorizontalFlip,
    RandomResizedCrop,
)
from kornia.constants import DataKey
from torch import Tensor, nn

from drivable.config.recipe import AugmentationSpec


class Augmentation(nn.Module):
    """Flip, scale-crop, colour and blur, each picture of a batch by its own draw.

    Geometry moves picture and label map together, the map by the nearest pixel. Crops lie inside the picture, so
    no pixel needs to be invented. Draws come from torch's global generator.

    Args:
        spec: what to change and how strongly; a spec of defaults changes nothing.
        size: (height, width) of the pictures.
    """

    def __init__(self, spec: AugmentationSpec, size: tuple[int, int]) -> None:
        super().__init__()
        steps: list[Any] = []
        if spec.flip:
            steps.append(RandomHorizontalFlip(p=spec.flip))
        if spec.scale_crop is not None:
            aspect = size[1] / size[0]
            steps.append(
                RandomResizedCrop(
                    size,
                    scale=spec.scale_crop,
                    ratio=(aspect * 0.85, aspect / 0.85),
                    p=1.0,
                    cropping_mode="resample",
                )
            )
        jiggle = (spec.brightness, spec.contrast, spec.saturation, spec.hue)
        if any(jiggle):
            steps.append(ColorJiggle(*jiggle, p=1.0))
        if spec.blur:
            steps.append(RandomGaussianBlur((5, 5), (0.3, 1.5), p=spec.blur))
        self.steps = (
            AugmentationSequential(
                *steps, data_keys=["image", "mask"], extra_args={DataKey.MASK: {"resample": "nearest"}}
            )
            if steps
            else None
        )

    @torch.no_grad()
    def forward(self, images: Tensor, label_maps: Tensor) -> tuple[Tensor, Tensor]:
        """Change a batch.

        Args:
            images: (N, 3, H, W) RGB in [0, 1].
            label_maps: (N, H, W) uint8 ids.

        Returns:
            Both changed, of the same shapes and types.
        """
        if self.steps is None:
            return images, label_maps
        changed, masks = self.steps(images, label_maps.unsqueeze(1).to(images.dtype))
        return changed, masks.squeeze(1).round().to(label_maps.dtype)
