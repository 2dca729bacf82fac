"""Decode videos to RGB frames with their times, and encode such frames to H.264.

FFmpeg gets a file that is already open, and may open nothing else: no name is taken for an address, and playlists and
reference films lead nowhere.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import av
import numpy as np
from av.codec.context import Flags
from av.container import InputContainer, OutputContainer
from av.error import ArgumentError
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter
from av.video.stream import VideoStream

from drivable.errors import DataError, OutputError, one_line
from drivable.files import written_whole
from drivable.imaging.container_size import stated_bytes
from drivable.imaging.images import Pixels, resize_image
from drivable.reading import check_size, limit, open_regular, reading

_log = logging.getLogger(__name__)
# FFmpeg's name of what writes H.264.
ENCODER: Final = "libx264"
_REMEDY = "copy it again, or take what is there with --skip-broken"
# FFmpeg refuses frames of too many pixels without a word where no header says their size.
_DOUBT = "was its recording or copy cut off, or are its frames larger than DRIVABLE_MAX_PIXELS?"
# FFmpeg's names of the containers that hold their film themselves.
_CONTAINERS = "mov,matroska,avi,mpeg,mpegts,mpegvideo"
_HEADER_STATES_END = ("mov", "matroska", "avi")
# A header rounds.
_TOLERATED_SECONDS, _TOLERATED_SHARE = Fraction(1, 2), Fraction(1, 50)
# Seconds for which a last frame may stand.
_LONGEST_HELD = Fraction(3600)
# An index and tags follow the last frame.
_TOLERATED_UNREAD = 0.1
# Packets that are looked at to tell covers from films.
_GLANCE = 1000
# Of a second; and how many MP4 counts from one frame to the next.
_USUAL_TICKS, _MOST_TICKS = 90_000, 2**31 - 1
# FFmpeg's numbers of matrices between RGB and YUV.
_BT709, _BT601 = 1, 6
_MATRICES, _NO_MATRIX = frozenset({_BT709, 4, 5, _BT601, 7, 9}), frozenset({0, 2, 3})


@dataclass(frozen=True)
class VideoInfo:
    """What a video's header and first frame say.

    Args:
        size: (height, width) in pixels, upright.
        fps: frames per second, on average.
        num_frames: estimated from the header, ``None`` where it says nothing; good for a progress bar.
        pixel_aspect: width over height of a pixel as shown.
        time_base: seconds; all times are multiples of it. ``None`` where the film does not say.
    """

    size: tuple[int, int]
    fps: Fraction
    num_frames: int | None
    pixel_aspect: Fraction = Fraction(1)
    time_base: Fraction | None = None


@dataclass(frozen=True)
class Frame:
    """One frame of a video.

    Args:
        pixels: RGB (H, W, 3) uint8, upright.
        time: seconds on the film's own clock at which it is shown; later than that of the frame before.
        duration: seconds for which it is shown.
    """

    pixels: Pixels
    time: Fraction
    duration: Fraction


def read_video_info(path: Path) -> VideoInfo:
    """Read a video's header and the shape of its first frame.

    Raises:
        DataError: where the file is missing, not a regular file, not a video, or holds no frame.
    """
    with _opened(path) as film:
        for frame in film.decoded():
            on_its_side, _, _ = _orientation(frame)
            size = (frame.width, frame.height) if on_its_side else (frame.height, frame.width)
            break
        else:
            raise DataError(f"{film.where}: the video holds no readable frame")
        aspect = Fraction(film.stream.sample_aspect_ratio or 1)
        if not Fraction(1, 20) <= aspect <= 20:
            aspect = Fraction(1)
        end = film.stated_end()
        num_frames = film.stream.frames or (None if end is None else round((end - film.start) * film.fps))
        return VideoInfo(size, film.fps, num_frames, 1 / aspect if on_its_side else aspect, film.stream.time_base)


def read_frames(path: Path) -> Iterator[Frame]:
    """Decode a video frame by frame.

    Of several picture streams it takes the film, not its cover. Colours follow the film's own matrix and range. A frame
    without a time follows the one before at the film's rate. Frames may change their size on the way.

    Yields:
        frames, in the order and at the times at which they are shown.

    Raises:
        DataError: where the file is missing, not a regular file, not a video, or ends in the middle of its stream.
            Frames before the damage have been yielded by then.

    Example:
        >>> sum(1 for _ in read_frames(Path("drive.mp4")))
        221
    """
    with _opened(path) as film:
        clock, converter = _Clock(film), _Converter()
        held: Frame | None = None
        try:
            for decoded in film.decoded():
                time, duration = clock.read(decoded)
                with reading(film.where, DataError, "colours cannot be converted to RGB"):
                    pixels = converter.to_rgb(decoded)
                if held is not None:
                    yield replace(held, duration=time - held.time)
                held = Frame(pixels, time, duration)
            if held is not None:
                held = film.shown_to_the_end(held)
        except DataError:
            if held is not None:
                yield held
            raise
        if held is not None:
            yield held


class _Film:
    """An open video.

    Args:
        where: its path, for messages.
        file: of it.
        container: FFmpeg's, over ``file``.
        stream: of ``container``, that is the film.
    """

    def __init__(self, where: str, file: BinaryIO, container: InputContainer, stream: VideoStream) -> None:
        self.where, self.file, self.container, self.stream = where, file, container, stream
        self.tick = Fraction(stream.time_base or Fraction(1, 1000))
        self.start = (stream.start_time or 0) * self.tick
        fps = Fraction(stream.average_rate or stream.guessed_rate or 25)
        self.fps = fps if Fraction(1, 3600) <= fps <= 1000 else Fraction(25)
        self._last_byte = 0
        self._has_warned = False

    def decoded(self) -> Iterator[VideoFrame]:
        """All frames, as FFmpeg gives them.

        Raises:
            DataError: where the stream is damaged.
        """
        has_size = self.stream.height > 0 and self.stream.width > 0
        with reading(self.where, DataError, "the video is damaged", _REMEDY if has_size else _DOUBT):
            for packet in self.container.demux():
                if packet.pos is not None:
                    self._last_byte = max(self._last_byte, packet.pos + packet.size)
                if (
                    packet.stream.index == self.stream.index
                ):  # Of the stream: a packet that flushes has none of its own.
                    for frame in self.stream.decode(packet):
                        self._warn_of(frame)
                        yield frame

    def _warn_of(self, frame: VideoFrame) -> None:
        """Say once a film that FFmpeg made up a part of a damaged frame."""
        if frame.is_corrupt and not self._has_warned:
            self._has_warned = True
            _log.warning(
                "%s: damaged at %.1f seconds, and what is missing there was guessed", self.where, frame.time or 0
            )

    def stated_end(self) -> Fraction | None:
        """Second at which the stream ends, on the film's clock, where the header says so."""
        kind = self.container.format.name.split(",")[0]
        if kind not in _HEADER_STATES_END:
            return None
        if kind == "avi" and self.stream.frames and self.stream.average_rate:
            # Its frames follow at one rate, and FFmpeg fits the duration to the bytes that are there.
            return self.start + Fraction(self.stream.frames) / self.stream.average_rate
        if kind == "matroska":
            # It has no field for it, and FFmpeg may put the whole file's duration there, sound included.
            end = self._tagged_end()
            return self._latest_end() if end is None and len(self.container.streams) == 1 else end
        if self.stream.duration is not None:
            return self.start + self.stream.duration * self.tick
        if self.container.duration is not None and len(self.container.streams) == 1:
            return self.start + Fraction(self.container.duration, av.time_base)
        return None

    def _tagged_end(self) -> Fraction | None:
        """What Matroska's tags say; where they have a language, the key ends in it, such as ``DURATION-eng``."""
        for key, value in self.stream.metadata.items():
            with suppress(ValueError, ZeroDivisionError):  # Tags are text, and may say anything.
                if key.partition("-")[0] == "DURATION":
                    hours, minutes, seconds = value.split(":")
                    return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
        return None

    def _latest_end(self) -> Fraction | None:
        """Second at which the last stream of a Matroska file ends."""
        if self.container.duration is None or not self.container.format.name.startswith("matroska"):
            return None
        return Fraction(self.container.duration, av.time_base)

    def shown_to_the_end(self, last: Frame) -> Frame:
        """The last frame, shown until the film ends.

        Raises:
            DataError: where something of the film is missing after it. A file that was cut off often decodes without
                complaint; only its header promises more. Frame counts are no measure: trimmed films hold frames that
                are not shown, others have gaps.
        """
        num_bytes, stated = self.file.seek(0, 2), stated_bytes(self.file)
        if stated is not None and stated > num_bytes:
            raise DataError(f"{self.where}: the video ends after {num_bytes} of {stated} bytes; {_REMEDY}")
        own_end = self.stated_end()
        end = self._latest_end() if own_end is None else own_end
        if end is None or end <= last.time:
            return last
        shown, promised = last.time + last.duration - self.start, end - self.start
        is_short = promised - shown > max(_TOLERATED_SECONDS, _TOLERATED_SHARE * promised)
        # A last frame may stand for long. Frames that FFmpeg did not find are bytes that it did not read.
        has_unread = self._last_byte < (1 - _TOLERATED_UNREAD) * num_bytes
        if is_short and (has_unread or (own_end is not None and promised - shown > _LONGEST_HELD)):
            raise DataError(
                f"{self.where}: the video ends after {float(shown):.1f} of {float(promised):.1f} seconds; {_REMEDY}"
            )
        return last if own_end is None else replace(last, duration=own_end - last.time)


class _Clock:
    """Gives each decoded frame its time, after that of the one before.

    A frame behind the one before follows it at the film's rate, and so does what comes after: the clock was set back.
    Where the next frame is ahead again, only that one frame was out of order, and the clock is the old one.
    """

    def __init__(self, film: _Film) -> None:
        self._tick, self._interval = film.tick, 1 / film.fps
        self._last: Fraction | None = None
        self._next = film.start
        # What is added to the film's own times, and the last sum; both as they were before a frame that went back.
        self._shift = Fraction(0)
        self._reached: Fraction | None = None
        self._old: tuple[Fraction, Fraction] | None = None

    def read(self, frame: VideoFrame) -> tuple[Fraction, Fraction]:
        """Time and duration of a frame in seconds, the duration as the film states or implies it."""
        duration = frame.duration * self._tick if frame.duration > 0 else self._interval
        self._reached = self._next if frame.pts is None else self._shifted(frame.pts * self._tick)
        time = self._reached
        if self._last is not None:
            time = max(time, self._last + min(self._tick, Fraction(1, 10_000)))
        self._last, self._next = time, time + duration
        return time, duration

    def _shifted(self, stated: Fraction) -> Fraction:
        if self._old is not None and stated + self._old[0] > self._old[1]:
            self._shift, self._reached = self._old
        self._old = None
        if self._reached is not None and stated + self._shift < self._reached:
            self._old = self._shift, self._reached
            self._shift = self._next - stated
        return stated + self._shift


@contextmanager
def _opened(path: Path) -> Iterator[_Film]:
    where = one_line(str(path), 1000)
    try:
        file = open_regular(path)
    except FileNotFoundError as fault:
        raise DataError(f"{where}: no such video") from fault
    except OSError as fault:
        raise DataError(f"{where}: not a readable video: {fault.strerror or fault}") from fault
    with file, _demuxer(where, file) as container:
        with reading(where, DataError, "not a readable video"):
            stream = _film_stream(where, file, container)
            if stream.height and stream.width:
                try:
                    check_size(stream.height, stream.width)
                except DataError as fault:
                    raise DataError(f"{where}: {fault}") from fault
            # Also where the header does not know, and later frames are larger.
            stream.options["max_pixels"] = str(limit("DRIVABLE_MAX_PIXELS"))
            stream.thread_type = "AUTO"
            film = _Film(where, file, container, stream)
        yield film


def _demuxer(where: str, file: BinaryIO) -> InputContainer:
    options = {
        "format_whitelist": _CONTAINERS,
        "protocol_whitelist": "none",
        "max_pixels": str(limit("DRIVABLE_MAX_PIXELS")),
    }
    with reading(where, DataError, "not a readable video (MP4, Matroska, AVI or MPEG)", _DOUBT):
        if not file.seek(0, 2):
            raise DataError(f"{where}: the file is empty")
        file.seek(0)
        try:
            return av.open(file, "r", options=options, metadata_errors="replace")
        except ArgumentError as fault:  # Of FFmpeg's own, where the kind of file is none of these.
            raise DataError(f"{where}: not a video (MP4, Matroska, AVI or MPEG); convert it") from fault


def _film_stream(where: str, file: BinaryIO, container: InputContainer) -> VideoStream:
    """The picture stream that is no cover; of several the default one, then the largest."""
    streams = [
        stream
        for stream in container.streams.video
        if stream.codec_context is not None and not stream.disposition & Disposition.attached_pic
    ]
    if not streams:
        raise DataError(f"{where}: no picture stream in this file")
    if len(streams) > 1:
        # Not every cover is marked as one, but it is a single picture.
        counts = dict.fromkeys((stream.index for stream in streams), 0)
        place = file.tell()
        with _demuxer(where, file) as glance:
            for packet in islice(glance.demux(), _GLANCE):
                if packet.size and packet.stream_index in counts:
                    counts[packet.stream_index] += 1
        file.seek(place)
        moving = [stream for stream in streams if counts[stream.index] > 1]
        streams = moving or streams
    return max(streams, key=lambda s: (bool(s.disposition & Disposition.default), s.height * s.width))


class _Converter:
    """Makes RGB of a film's frames."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        # By rotation, so that few frames are asked for their side data: that makes a cycle, and keeps their memory.
        self._orientations: dict[int, tuple[bool, bool, bool]] = {}

    def to_rgb(self, frame: VideoFrame) -> Pixels:
        """RGB (H, W, 3) uint8, upright, by the frame's own matrix and range."""
        if not frame.format.is_rgb:
            if frame.colorspace in _NO_MATRIX:
                frame.colorspace = _usual_matrix(frame.height, frame.width)
            elif frame.colorspace not in _MATRICES:
                raise ValueError(f"matrix {frame.colorspace} of H.273, where BT.601, BT.709 or BT.2020 is expected")
        rgb = np.asarray(self._reformatter.reformat(frame, format="rgb24").to_ndarray(), dtype=np.uint8)
        if frame.rotation not in self._orientations:
            self._orientations[frame.rotation] = _orientation(frame)
        on_its_side, mirrored, upside_down = self._orientations[frame.rotation]
        if on_its_side:
            rgb = rgb.swapaxes(0, 1)
        return np.ascontiguousarray(rgb[:: -1 if upside_down else 1, :: -1 if mirrored else 1])


def _orientation(frame: VideoFrame) -> tuple[bool, bool, bool]:
    """Whether rows and columns change places, and then whether columns and rows run backwards.

    As the display matrix says, to the nearest quarter of a turn.
    """
    try:
        matrix = frame.side_data["DISPLAYMATRIX"]  # type: ignore[typeddict-item]
        a, b, _, c, d = (int(value) for value in np.frombuffer(matrix, dtype=np.int32)[:5])
    except KeyError:
        return False, False, False
    except ValueError:  # PyAV lists no side data where one is of a kind that it does not know.
        angle = math.radians(-frame.rotation)
        a, b, c, d = round(math.cos(angle)), round(math.sin(angle)), -round(math.sin(angle)), round(math.cos(angle))
    on_its_side = abs(b) + abs(c) > abs(a) + abs(d)
    return (True, c < 0, b < 0) if on_its_side else (False, a < 0, d < 0)


def _usual_matrix(height: int, width: int) -> int:
    """What players take where a film does not say."""
    return _BT709 if height >= 720 or width >= 1280 else _BT601


class FrameWriter(Protocol):
    """Takes frames one by one."""

    def __call__(self, frame: Frame) -> None:
        """Append a frame."""
        ...


@contextmanager
def video_writer(
    path: Path,
    size: tuple[int, int],
    fps: Fraction,
    pixel_aspect: Fraction = Fraction(1),
    time_base: Fraction | None = None,
) -> Iterator[FrameWriter]:
    """Encode frames to an H.264 MP4 that any player shows; nothing is left where the block fails.

    Each frame keeps its time and the last one its duration; the first begins the film. Colours are BT.709, from 720
    lines or 1280 columns on with BT.709's matrix, below with BT.601's, in limited range, and tagged so: a player that
    heeds tags and one that goes by the size show the same.

    Args:
        path: ends in ``.mp4``.
        size: (height, width) of the film. An odd one is filled up by repeating the last row or column, since 4:2:0
            needs even sizes; frames of another size are scaled to it.
        fps: frames per second, on average.
        pixel_aspect: width over height of a pixel as shown.
        time_base: seconds that all times are multiples of, so that they are kept exactly; finer ones to 1/90,000.

    Raises:
        OutputError: where the place is not writable, the disk is full or H.264 knows no such frames.

    Example:
        >>> with video_writer(Path("out.mp4"), (360, 640), Fraction(25)) as write:
        ...     write(Frame(pixels, time=Fraction(0), duration=Fraction(1, 25)))
    """
    odd_row, odd_column = size[0] % 2, size[1] % 2
    where, matrix = one_line(str(path), 1000), _usual_matrix(*size)
    ticks = _ticks_per_second(time_base)
    converter, start, last = VideoReformatter(), None, -1
    with written_whole(path) as temporary, _muxer(temporary) as container:
        # Without B-frames the muxer knows how long each frame lasts, the last one too.
        stream = container.add_stream(ENCODER, rate=fps, options={"preset": "veryfast", "crf": "20", "bf": "0"})
        context = stream.codec_context
        context.height, context.width, context.pix_fmt = size[0] + odd_row, size[1] + odd_column, "yuv420p"
        context.sample_aspect_ratio, context.time_base = pixel_aspect, Fraction(1, ticks)
        context.flags |= Flags.frame_duration
        context.colorspace, context.color_range = matrix, ColorRange.MPEG
        context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709

        def write(frame: Frame) -> None:
            nonlocal start, last
            pixels = resize_image(frame.pixels, size)
            if odd_row or odd_column:
                pixels = np.pad(pixels, ((0, odd_row), (0, odd_column), (0, 0)), mode="edge")
            start = frame.time if start is None else start
            before, last = last, max(last + 1, round((frame.time - start) * ticks))
            duration = max(1, round(frame.duration * ticks))
            if max(last - before, duration) > _MOST_TICKS:
                raise OutputError(
                    f"{where}: no MP4 shows one frame for more than {_MOST_TICKS / ticks / 3600:.1f} hours"
                )
            with reading(where, OutputError, "cannot be written as H.264"):
                encoded = converter.reformat(
                    VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24"),
                    format="yuv420p",
                    dst_colorspace=Colorspace.ITU709 if matrix == _BT709 else Colorspace.ITU601,
                    dst_color_range=ColorRange.MPEG,
                )
                encoded.pts, encoded.time_base = last, Fraction(1, ticks)
                encoded.duration = duration
                container.mux(stream.encode(encoded))

        yield write
        with reading(where, OutputError, "cannot be written as H.264"):
            container.mux(stream.encode())
            container.close()


def _muxer(path: Path) -> OutputContainer:
    return av.open(f"file:{path}", "w", format="mp4", options={"movflags": "+faststart"})


def _ticks_per_second(time_base: Fraction | None) -> int:
    ticks = (time_base or Fraction(1, _USUAL_TICKS)).denominator
    while ticks < 10_000:
        ticks *= 2
    return ticks if ticks < 100_000 else _USUAL_TICKS
