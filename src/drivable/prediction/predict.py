"""Segment pictures and videos into overlays and label maps."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

from PIL import Image

from drivable.errors import DataError, OutputError
from drivable.files import written_whole
from drivable.imaging.images import Pixels, read_image
from drivable.imaging.overlay import draw_overlay
from drivable.imaging.sources import Sources
from drivable.imaging.video import Frame, read_frames, read_video_info, video_writer
from drivable.segmenter import Segmenter

_log = logging.getLogger(__name__)
_BATCH = 4
T = TypeVar("T")


@dataclass
class PredictionResult:
    """What was written.

    Args:
        num_pictures: pictures segmented.
        num_frames: video frames segmented.
        broken: one line for each picture or video that was left out or ends early.
    """

    num_pictures: int
    num_frames: int
    broken: list[str]


def predict(
    segmenter: Segmenter,
    sources: Sources,
    folder: Path,
    skip_broken: bool = False,
    on_item: Callable[[], None] = lambda: None,
) -> PredictionResult:
    """Segment all sources.

    Writes ``overlays/<stem>.jpg`` and ``label_maps/<stem>.png`` (official ids, the picture's own size) for pictures
    and ``<stem>.mp4`` (H.264, each frame at its own time) for videos, each whole or not at all.

    Args:
        segmenter: what segments.
        sources: what to segment.
        folder: where results go.
        skip_broken: go on past broken pictures and videos and report them at the end.
        on_item: called after each picture and each frame.

    Raises:
        DataError: at the first broken picture or video, without ``skip_broken``.
        OutputError: where results cannot be written.

    Example:
        >>> predict(load("runs/lite"), find_sources(["road.jpg"]), Path("seen")).num_pictures
        1
    """
    _refuse_overwriting(sources, folder)
    result = PredictionResult(0, 0, [])
    for paths in _groups(sources.pictures, _BATCH):
        batch: list[tuple[Path, Pixels]] = []
        for path in paths:
            try:
                batch.append((path, read_image(path)))
            except DataError as fault:
                _leave_out(result, fault, skip_broken)
            on_item()
        label_maps = segmenter.segment_batch([image for _, image in batch])
        for (path, image), label_map in zip(batch, label_maps, strict=True):
            overlay = draw_overlay(image, label_map, segmenter.labels)
            _save(folder / "overlays" / f"{path.stem}.jpg", overlay)
            _save(folder / "label_maps" / f"{path.stem}.png", label_map)
            result.num_pictures += 1
    for path in sources.videos:
        try:
            _predict_video(segmenter, path, folder / f"{path.stem}.mp4", result, skip_broken, on_item)
        except DataError as fault:
            _leave_out(result, fault, skip_broken)
    return result


def overlay_frames(segmenter: Segmenter, frames: Iterable[Frame]) -> Iterator[Frame]:
    """Segment frames and draw the result over each.

    Args:
        segmenter: what segments.
        frames: of a video.

    Yields:
        frames of the same size at the same times.
    """
    for batch in _groups(frames, _BATCH):
        label_maps = segmenter.segment_batch([frame.pixels for frame in batch])
        for frame, label_map in zip(batch, label_maps, strict=True):
            yield replace(frame, pixels=draw_overlay(frame.pixels, label_map, segmenter.labels))


def _predict_video(
    segmenter: Segmenter,
    path: Path,
    destination: Path,
    result: PredictionResult,
    skip_broken: bool,
    on_frame: Callable[[], None],
) -> None:
    info = read_video_info(path)
    num_frames = 0

    def until_damage() -> Iterator[Frame]:
        try:
            yield from read_frames(path)
        except DataError as fault:
            if not skip_broken:
                raise
            _leave_out(result, fault, skip_broken)

    with video_writer(destination, info.size, info.fps, info.pixel_aspect, info.time_base) as write:
        for overlay in overlay_frames(segmenter, until_damage()):
            write(overlay)
            num_frames += 1
            on_frame()
    result.num_frames += num_frames


def _refuse_overwriting(sources: Sources, folder: Path) -> None:
    results = [(path, folder / f"{path.stem}.mp4") for path in sources.videos]
    for path in sources.pictures:
        results += [(path, folder / "overlays" / f"{path.stem}.jpg")]
        results += [(path, folder / "label_maps" / f"{path.stem}.png")]
    for source, result in results:
        if source.resolve() == result.resolve():
            raise OutputError(f"{source}: its result would overwrite it; choose another --out")


def _leave_out(result: PredictionResult, fault: DataError, skip_broken: bool) -> None:
    if not skip_broken:
        raise fault
    _log.warning("left out: %s", fault)
    result.broken.append(str(fault))


def _save(path: Path, pixels: Pixels) -> None:
    with written_whole(path) as temporary:
        Image.fromarray(pixels).save(temporary, quality=92)  # Of JPEG; PNG is lossless and takes no notice.


def _groups(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while group := list(islice(iterator, size)):
        yield group
