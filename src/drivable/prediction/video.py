"""Decode videos to RGB frames and encode frames to H.264."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from drivable.data.pictures import Pixels
from drivable.errors import DataError
from drivable.files import written_whole

_REMEDY = "copy it again, or take what is there with --skip-broken"
# The sound of a film may outlast its pictures by this much.
_TOLERATED_SECONDS, _TOLERATED_SHARE = 0.5, 0.02


@dataclass(frozen=True)
class VideoInfo:
    """What a video's header says.

    Args:
        size: (height, width) in pixels, as shown: after rotation.
        fps: frames per second.
        num_frames: estimated from the header, ``None`` where it says nothing; good for a progress bar.
    """

    size: tuple[int, int]
    fps: Fraction
    num_frames: int | None


def read_video_info(path: Path) -> VideoInfo:
    """Read a video's header.

    Raises:
        DataError: where the file is missing, not a video, or holds no picture stream.
    """
    for first in read_frames(path):
        size = (first.shape[0], first.shape[1])
        break
    else:
        raise DataError(f"{path}: the video holds no readable frame")
    with _opened(path) as stream:
        fps = Fraction(stream.average_rate or stream.guessed_rate or 25)
        duration = _duration(stream)
        num_frames = stream.frames or (None if duration is None else round(duration * fps))
    return VideoInfo(size, fps, num_frames)


def read_frames(path: Path) -> Iterator[Pixels]:
    """Decode a video frame by frame.

    Yields:
        RGB (H, W, 3) uint8, upright.

    Raises:
        DataError: where the file is missing, not a video, or ends in the middle of its stream. Frames before the
            damage have been yielded by then.

    Example:
        >>> sum(1 for _ in read_frames(Path("drive.mp4")))
        221
    """
    with _opened(path) as stream:
        stream.thread_type = "AUTO"
        end = None
        try:
            for frame in stream.container.decode(stream):  # type: ignore[attr-defined]
                turns = round(frame.rotation / 90) % 4
                rgb = frame.to_ndarray(format="rgb24")
                yield np.ascontiguousarray(np.rot90(rgb, turns)) if turns else rgb
                end = frame.time
        except FFmpegError as fault:
            raise DataError(f"{path}: the video is damaged: {fault.strerror}; {_REMEDY}") from fault
        # A file that was cut off often decodes without complaint; only its header promises more. Frame counts are no
        # measure: trimmed films hold frames that are not shown, others have gaps.
        duration = _duration(stream)
        if end is not None and duration is not None:
            start = float((stream.start_time or 0) * (stream.time_base or 0))
            missing = float(duration) - (end - start)
            if missing > max(_TOLERATED_SECONDS, _TOLERATED_SHARE * duration):
                raise DataError(
                    f"{path}: the video ends after {end - start:.1f} of {float(duration):.1f} seconds; {_REMEDY}"
                )


def _duration(stream: VideoStream) -> Fraction | None:
    """Seconds that the header promises."""
    container: InputContainer = stream.container  # type: ignore[assignment]
    if container.format.name == "avi" and stream.frames and stream.average_rate:
        # Its frames follow at one rate, and FFmpeg fits the duration to the bytes that are there.
        return Fraction(stream.frames) / stream.average_rate
    if stream.duration is not None and stream.time_base is not None:
        return stream.duration * stream.time_base
    return None if container.duration is None else Fraction(container.duration, av.time_base)


@contextmanager
def _opened(path: Path) -> Iterator[VideoStream]:
    if not path.is_file():
        raise DataError(f"{path}: no such video")
    try:
        container = av.open(path)
    except FFmpegError as fault:
        raise DataError(
            f"{path}: not a readable video ({fault.strerror}); was its recording or copy cut off?"
        ) from fault
    with container:
        if not container.streams.video:
            raise DataError(f"{path}: no picture stream in this file")
        yield container.streams.video[0]


class FrameWriter(Protocol):
    """Takes frames one by one."""

    def __call__(self, frame: Pixels) -> None:
        """Append RGB (H, W, 3) uint8."""
        ...


@contextmanager
def video_writer(path: Path, size: tuple[int, int], fps: Fraction) -> Iterator[FrameWriter]:
    """Encode frames to an H.264 MP4 that any player shows; nothing is left where the block fails.

    Args:
        path: ends in ``.mp4``.
        size: (height, width) of all frames; odd ones lose their last row or column, since 4:2:0 needs even sizes.
        fps: frames per second.

    Raises:
        OutputError: where the place is not writable or the disk is full.

    Example:
        >>> with video_writer(Path("out.mp4"), (360, 640), Fraction(25)) as write:
        ...     write(frame)
    """
    height, width = size[0] // 2 * 2, size[1] // 2 * 2
    with written_whole(path) as temporary, av.open(temporary, "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": "veryfast", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"

        def write(frame: Pixels) -> None:
            pixels = np.ascontiguousarray(frame[:height, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))

        yield write
        container.mux(stream.encode())
