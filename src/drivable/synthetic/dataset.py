"""Rendered pictures on disk, in the layout that BDD100K's official archives unpack to."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from drivable.errors import ConfigError
from drivable.files import refuse_used, written_whole
from drivable.synthetic.drive import advance
from drivable.synthetic.scene import RenderedFrame, render, sample_scene

SPLITS = ("train", "val", "test")
FRAMES_PER_DRIVE = 2
SECONDS_BETWEEN_FRAMES = 4.0
JPEG_QUALITY = 90
ATTRIBUTES = ("weather", "scene", "timeofday")


def write_rendered_dataset(
    root: Path,
    num_pictures: Mapping[str, int],
    seed: int,
    size: tuple[int, int] = (360, 640),
    on_picture: Callable[[], None] | None = None,
) -> None:
    """Render a data set in BDD100K's layout.

    Pictures are ``images/100k/<split>/<id>.jpg``, label maps ``labels/drivable/masks/<split>/<id>.png``, and
    ``attributes.csv`` has the columns ``id,weather,scene,timeofday``.

    An id is two groups of eight hexadecimal digits; the first names the drive, and no drive is in two splits.
    Everything is written beside ``root`` and renamed at the end, so ``root`` is complete or does not exist.

    Args:
        root: folder to make; it may exist if it is empty.
        num_pictures: pictures for each of ``train``, ``val`` and ``test``; a split left out gets none.
        seed: the same seed gives the same pictures.
        size: picture (height, width) in pixels.
        on_picture: called after each picture, for a progress bar.

    Raises:
        ConfigError: where a split is unknown or a number is negative.
        OutputError: where ``root`` holds something already or cannot be written.

    Example:
        >>> write_rendered_dataset(Path("/tmp/rendered"), {"train": 8, "val": 2}, seed=0)  # doctest: +SKIP
    """
    wrong = {split: num for split, num in num_pictures.items() if split not in SPLITS or num < 0}
    if wrong:
        raise ConfigError(f"rendered data: expected 0 or more pictures for {', '.join(SPLITS)}, got {wrong}")
    refuse_used(root)
    with written_whole(root) as temporary:
        _write(temporary, num_pictures, seed, size, on_picture)


def _write(
    root: Path,
    num_pictures: Mapping[str, int],
    seed: int,
    size: tuple[int, int],
    on_picture: Callable[[], None] | None,
) -> None:
    root.mkdir()
    with (root / "attributes.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("id", *ATTRIBUTES))
        for split in SPLITS:
            images = root / "images" / "100k" / split
            masks = root / "labels" / "drivable" / "masks" / split
            images.mkdir(parents=True)
            masks.mkdir(parents=True)
            for picture_id, frame in _pictures(split, num_pictures.get(split, 0), seed, size):
                Image.fromarray(frame.image).save(images / f"{picture_id}.jpg", quality=JPEG_QUALITY)
                Image.fromarray(frame.label_map).save(masks / f"{picture_id}.png")
                table.writerow((picture_id, *(frame.attributes[name] for name in ATTRIBUTES)))
                if on_picture is not None:
                    on_picture()


def _pictures(split: str, num_pictures: int, seed: int, size: tuple[int, int]) -> Iterator[tuple[str, RenderedFrame]]:
    for k in range(num_pictures):
        drive, moment = divmod(k, FRAMES_PER_DRIVE)
        # The count makes the first group unique in its split, the split's own digit unique across splits.
        digits = f"{SPLITS.index(split)}{drive:04x}{_digest(f'{seed}/{split}/{drive}')[:3]}"
        scene = sample_scene(np.random.default_rng((seed, SPLITS.index(split), drive)), size)
        yield (
            f"{digits}-{_digest(f'{digits}/{moment}')[:8]}",
            render(advance(scene, moment * SECONDS_BETWEEN_FRAMES)),
        )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
