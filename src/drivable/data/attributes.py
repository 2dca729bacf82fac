"""Weather, scene and time of day of pictures, from a table or from BDD100K's label files."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from drivable.data.formats.label_json import read_frames
from drivable.data.road_data import read_attributes, without_suffixes
from drivable.errors import DataError


def attributes_for(file: Path, ids: Collection[str]) -> Mapping[str, Mapping[str, str]]:
    """Read the attributes of pictures.

    Args:
        file: CSV with the column ``id`` and one column an attribute, or JSON of any generation of BDD100K.
        ids: of the pictures they are wanted for.

    Returns:
        Attributes by id; what is blank is left out.

    Raises:
        DataError: where the file is missing or damaged, or none of its ids is among ``ids``.

    Example:
        >>> attributes_for(Path("attributes.csv"), ["0000f77c-6257be58"])["0000f77c-6257be58"]["weather"]
        'clear'
    """
    if not file.is_file():
        raise DataError(f"{file}: no such attribute file")
    if file.suffix.lower() == ".csv":
        said: Mapping[str, Mapping[str, str]] = without_suffixes(read_attributes(file), ids)
    else:
        said = {frame.id: frame.attributes for frame in read_frames(file)}
    if not any(key in said for key in ids):
        first_said, first_id = next(iter(said), "none"), next(iter(ids), "none")
        raise DataError(
            f"{file}: none of its {len(said)} ids is one of the {len(ids)} pictures; it says '{first_said}', the "
            f"pictures are named like '{first_id}'"
        )
    return said
