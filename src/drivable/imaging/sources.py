"""What a user may name as a source: pictures, folders, globs and videos."""

from __future__ import annotations

import glob
import itertools
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from drivable.errors import DataError, one_line
from drivable.imaging.images import PICTURE_SUFFIXES
from drivable.reading import reading, require_regular

_log = logging.getLogger(__name__)
# Of containers that :mod:`drivable.imaging.video` reads, one line each: QuickTime's kind, Matroska, AVI, MPEG.
VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".f4v"}
    | {".mkv", ".webm"}
    | {".avi"}
    | {".mpg", ".mpeg", ".mpe", ".m1v", ".m2v", ".vob", ".ts", ".mts", ".m2ts", ".m2t"}
)


@dataclass(frozen=True)
class Sources:
    """Files to segment, each once, in order.

    Args:
        pictures: picture files.
        videos: video files.
    """

    pictures: tuple[Path, ...]
    videos: tuple[Path, ...]


def find_sources(names: Sequence[str], out: Path | None = None) -> Sources:
    """Resolve what the user named.

    A folder stands for the pictures and videos directly in it; a pattern is expanded (``**`` goes down), also where
    the shell did not. What lies in them and is no regular file is left out with a warning, and so are results of an
    earlier run.

    Args:
        names: files, folders or glob patterns.
        out: the folder that results go to, where it may lie inside of what is named.

    Raises:
        DataError: where a name leads to nothing, to an unknown kind of file, or two files would write the same
            result.

    Example:
        >>> find_sources(["frames/*.jpg", "drive.mp4"]).videos
        (PosixPath('drive.mp4'),)
    """
    found: dict[Path, None] = {}
    for name in names:
        with reading(one_line(name, 1000), DataError, "cannot be looked into"):
            for path in _expand(name, out):
                found[path] = None
    pictures = tuple(path for path in found if path.suffix.lower() in PICTURE_SUFFIXES)
    videos = tuple(path for path in found if path.suffix.lower() in VIDEO_SUFFIXES)
    for group in (pictures, videos):
        _refuse_same_stem(group)
    return Sources(pictures, videos)


def _expand(name: str, out: Path | None) -> list[Path]:
    path = Path(name)
    known = PICTURE_SUFFIXES | VIDEO_SUFFIXES
    shown = one_line(name, 1000)
    if path.is_dir():
        matches = [p for p in path.iterdir() if p.name[0] != "."]
        root, nothing = path, f"{shown}: no picture or video in this folder"
    elif os.path.lexists(path):
        try:
            require_regular(path)
        except FileNotFoundError as fault:
            raise DataError(f"{shown}: a link to nothing") from fault
        if path.suffix.lower() not in known:
            raise DataError(f"{shown}: not a picture or video by its suffix; known: {', '.join(sorted(known))}")
        return [path]
    else:
        matches = [Path(match) for match in glob.glob(name, recursive=True)]  # noqa: PTH207 - Path.glob takes no absolute pattern
        before_wildcards = itertools.takewhile(lambda part: not glob.has_magic(part), path.parts)
        root = Path(*before_wildcards)
        nothing = f"{shown}: no such file or folder, and no picture or video matches it as a pattern"
    inside = [p for p in sorted(matches) if p.suffix.lower() in known and _is_source(p, root, out)]
    if not inside:
        raise DataError(nothing)
    return inside


def _is_source(path: Path, root: Path, out: Path | None) -> bool:
    """Whether what was found below ``root`` is to be segmented; says so where it is not."""
    if not path.is_file():
        if not path.is_dir():
            _log.warning("left out: %s: not a regular file", one_line(str(path), 1000))
        return False
    if out is None:
        return True
    place, top, out = path.resolve().parent, root.resolve(), out.resolve()
    of_pictures = (out / "overlays", out / "label_maps")
    is_result = place in of_pictures and top not in of_pictures
    if place == out and top in out.parents:
        is_result = path.suffix.lower() in VIDEO_SUFFIXES
    if is_result:
        _log.warning("left out: %s: lies where results go", one_line(str(path), 1000))
    return not is_result


def _refuse_same_stem(paths: Sequence[Path]) -> None:
    seen: dict[str, Path] = {}
    for path in paths:
        other = seen.setdefault(path.stem, path)
        if other != path:
            raise DataError(
                f"{one_line(str(path), 1000)} and {one_line(str(other), 1000)}: results are named by the stem, "
                f"'{one_line(path.stem)}', so one would overwrite the other; predict them into different folders"
            )
