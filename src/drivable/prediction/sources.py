"""What a user may name as a source: pictures, folders, globs and videos."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from drivable.data.pictures import PICTURE_SUFFIXES
from drivable.errors import DataError

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".ts"})


@dataclass(frozen=True)
class Sources:
    """Files to segment, each once, in order.

    Args:
        pictures: picture files.
        videos: video files.
    """

    pictures: tuple[Path, ...]
    videos: tuple[Path, ...]


def find_sources(names: Sequence[str]) -> Sources:
    """Resolve what the user named.

    A folder stands for the pictures and videos directly in it; a pattern is expanded (``**`` goes down), also where
    the shell did not.

    Args:
        names: files, folders or glob patterns.

    Raises:
        DataError: where a name leads to nothing, to an unknown kind of file, or two files would write the same
            result.

    Example:
        >>> find_sources(["frames/*.jpg", "drive.mp4"]).videos
        (PosixPath('drive.mp4'),)
    """
    found: dict[Path, None] = {}
    for name in names:
        for path in _expand(name):
            found[path] = None
    pictures = tuple(path for path in found if path.suffix.lower() in PICTURE_SUFFIXES)
    videos = tuple(path for path in found if path.suffix.lower() in VIDEO_SUFFIXES)
    for group in (pictures, videos):
        _refuse_same_stem(group)
    return Sources(pictures, videos)


def _expand(name: str) -> list[Path]:
    path = Path(name)
    known = PICTURE_SUFFIXES | VIDEO_SUFFIXES
    if path.is_dir():
        inside = sorted(p for p in path.iterdir() if p.suffix.lower() in known and p.name[0] != ".")
        if not inside:
            raise DataError(f"{path}: no picture or video in this folder")
        return inside
    if path.is_file():
        if path.suffix.lower() not in known:
            raise DataError(f"{path}: not a picture or video by its suffix; known: {', '.join(sorted(known))}")
        return [path]
    matches = sorted(Path(match) for match in glob.glob(name, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
    inside = [p for p in matches if p.is_file() and p.suffix.lower() in known]
    if not inside:
        raise DataError(f"{name}: no such file or folder, and no picture or video matches it as a pattern")
    return inside


def _refuse_same_stem(paths: Sequence[Path]) -> None:
    seen: dict[str, Path] = {}
    for path in paths:
        other = seen.setdefault(path.stem, path)
        if other != path:
            raise DataError(
                f"{path} and {other}: results are named by the stem, '{path.stem}', so one would overwrite "
                "the other; predict them into different folders"
            )
