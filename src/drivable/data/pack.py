"""A resized copy of a data folder, for machines with little disk and loaders with little time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from drivable.data.conversion import write_companions
from drivable.data.layouts import RoadData
from drivable.data.pictures import resize_image, resize_label_map
from drivable.data.samples import read_pair
from drivable.errors import DataError, OutputError
from drivable.files import refuse_used, written_whole
from drivable.labels import BDD100K_DRIVABLE


def pack(
    data: RoadData,
    destination: Path,
    size: tuple[int, int],
    skip_broken: bool = False,
    on_sample: Callable[[], None] = lambda: None,
) -> list[DataError]:
    """Write every labelled picture at ``size`` in BDD100K's current layout.

    Split files and attributes come along. Pictures become JPEG of quality 90 and label maps PNG of ids, resized by
    the nearest pixel. Data without official split folders goes to ``train``; its split files still divide it.

    Args:
        data: what to copy; its classes are BDD100K's.
        destination: a new or empty folder.
        size: (height, width) in pixels.
        skip_broken: leave out pictures that cannot be read.
        on_sample: called after each picture.

    Returns:
        One fault for each picture left out.

    Raises:
        DataError: where the classes are others or, without ``skip_broken``, a picture is broken.
        OutputError: where the destination holds files or is not writable; nothing is left of a failed copy.

    Example:
        >>> pack(open_data("bdd100k"), Path("bdd100k-small"), (180, 320))
        []
    """
    if data.labels != BDD100K_DRIVABLE:
        raise DataError(f"{data.root}: pack writes BDD100K's layout, and these classes are {list(data.labels.names)}")
    destination = destination.absolute()
    if destination == Path.cwd():
        raise OutputError(f"{destination}: is the current folder; name a new one")
    refuse_used(destination)
    faults: list[DataError] = []
    left_out = set()
    with written_whole(destination) as temporary:
        for folder, samples in data.samples.items():
            split = folder or "train"
            images = temporary / "images" / "100k" / split
            masks = temporary / "labels" / "drivable" / "masks" / split
            images.mkdir(parents=True)
            masks.mkdir(parents=True)
            for sample in samples:
                try:
                    image, label_map = read_pair(sample)
                except DataError as fault:
                    if not skip_broken:
                        raise
                    faults.append(fault)
                    left_out.add(sample.id)
                else:
                    Image.fromarray(resize_image(image, size)).save(images / f"{sample.id}.jpg", quality=90)
                    Image.fromarray(resize_label_map(label_map, size)).save(masks / f"{sample.id}.png")
                on_sample()
        write_companions(data, temporary, left_out)
    return faults
