"""Training input: pictures per second of this loader against a plain one of Pillow and albumentations.

Both read the same files, decode, resize to 360x640, flip, crop, change colours and make batches of eight uint8
tensors, in the same number of worker processes; they take turns, so that what else the machine does hits both alike.

    pip install albumentations
    python benchmarks/loading.py DATA [--repeat 20] [--workers 2] [--rounds 5] [--json FILE]

DATA is a data root with pictures as the camera took them, such as BDD100K's of 1280x720.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import albumentations
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from drivable.config.recipe import AugmentationSpec
from drivable.data import EpochSampler, RoadDataset, RoadLoader, Sample, open_data

SIZE = (360, 640)
BATCH_SIZE = 8
SPEC = AugmentationSpec(
    flip=0.5, scale_crop=(0.4, 1.0), brightness=0.3, contrast=0.3, saturation=0.2, hue=0.05, blur=0.1
)


class PlainDataset(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """What one would write in ten lines."""

    def __init__(self, samples: list[Sample]) -> None:
        self.files = [(str(sample.image.file), str(sample.label.file)) for sample in samples]
        assert SPEC.scale_crop is not None
        self.change = albumentations.Compose(
            [
                albumentations.RandomResizedCrop(SIZE, scale=SPEC.scale_crop, ratio=(1.5, 2.1)),
                albumentations.HorizontalFlip(p=SPEC.flip),
                albumentations.ColorJitter(
                    (1 - SPEC.brightness, 1 + SPEC.brightness), (1 - SPEC.contrast, 1 + SPEC.contrast),
                    (1 - SPEC.saturation, 1 + SPEC.saturation), (-SPEC.hue, SPEC.hue), p=1.0,
                ),
                albumentations.GaussianBlur((5, 5), (0.3, 1.5), p=SPEC.blur),
            ]
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        image_file, mask_file = self.files[index]
        image = np.array(Image.open(image_file).convert("RGB"))
        changed = self.change(image=image, mask=np.array(Image.open(mask_file)))
        return torch.from_numpy(changed["image"].transpose(2, 0, 1).copy()), torch.from_numpy(changed["mask"])


def pictures_per_second(loader: Iterable[Any]) -> float:
    """One epoch, timed from its first batch: starting workers is not loading."""
    batches = iter(loader)
    next(batches)
    start, num_pictures = time.perf_counter(), 0
    for batch in batches:
        num_pictures += len(batch["images"] if isinstance(batch, dict) else batch[0])
    return num_pictures / (time.perf_counter() - start)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--repeat", type=int, default=20, help="times that each picture comes in an epoch")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    samples = list(open_data(arguments.data).all_samples) * arguments.repeat

    ours = RoadLoader(
        RoadDataset(samples, SIZE, SPEC), BATCH_SIZE, EpochSampler(len(samples), 0, shuffle=True), arguments.workers
    )
    plain = DataLoader(
        PlainDataset(samples), BATCH_SIZE, shuffle=True, num_workers=arguments.workers, persistent_workers=True
    )
    rates: dict[str, list[float]] = {"drivable": [], "Pillow and albumentations": []}
    for _ in range(1 + arguments.rounds):
        rates["drivable"].append(pictures_per_second(ours))
        rates["Pillow and albumentations"].append(pictures_per_second(plain))
    ratios = [a / b for a, b in zip(*rates.values(), strict=True)]
    # The first epoch decodes the masks, the others remember them.
    first, *ratios = ratios
    medians = {name: statistics.median(values[1:]) for name, values in rates.items()}
    height, width = samples[0].image.size()
    print(f"{len(samples)} pictures of {height}x{width} to {SIZE[0]}x{SIZE[1]}, {arguments.workers} workers")
    for name, rate in medians.items():
        print(f"{name:28} {rate:8.1f} pictures/s")
    print(f"ratio in the first epoch {first:.2f}")
    print(f"ratio {statistics.median(ratios):.2f} (rounds: {', '.join(f'{ratio:.2f}' for ratio in ratios)})")
    if arguments.json is not None:
        arguments.json.write_text(
            json.dumps({"pictures_per_second": medians, "first_ratio": first, "ratios": ratios}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
