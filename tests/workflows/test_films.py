"""Films of others: their times, shapes, colours and containers, and what FFmpeg is kept from."""

import gc
import os
import socket
from collections.abc import Callable, Iterator
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream

from drivable.checkpoint import Calibration
from drivable.errors import DataError, OutputError
from drivable.evaluation.drift import score_frames
from drivable.imaging.container_size import stated_bytes
from drivable.imaging.sources import find_sources
from drivable.imaging.video import Frame, read_frames, read_video_info, video_writer
from drivable.labels import BDD100K_DRIVABLE
from drivable.prediction import predict
from drivable.segmenter import Image as Pixels
from drivable.segmenter import LabelMap
from drivable.segmenter.protocol import Origin

GREEN, RED, BLUE = (0, 188, 6), (219, 94, 86), (30, 60, 200)
SIZE = (48, 96)


class AllBackground:
    """A segmenter without a network that changes nothing."""

    labels = BDD100K_DRIVABLE
    origin = Origin("none", "none", None, None)

    def segment_batch(self, images: list[Pixels]) -> list[LabelMap]:
        return [np.full(image.shape[:2], 2, dtype=np.uint8) for image in images]

    def probabilities(self, image: Pixels) -> np.ndarray:
        return np.broadcast_to(np.float32([[[0]], [[0]], [[1]]]), (3, *image.shape[:2]))


def corners(size: tuple[int, int] = SIZE) -> Pixels:
    """Green above, red below on the left, blue below on the right."""
    pixels = np.empty((*size, 3), dtype=np.uint8)
    pixels[:] = GREEN
    pixels[size[0] // 2 :, : size[1] // 2], pixels[size[0] // 2 :, size[1] // 2 :] = RED, BLUE
    return pixels


def write(
    path: Path,
    frames: list[Pixels],
    codec: str = "libx264",
    times: list[float] | None = None,
    set_up: Callable[[VideoStream], None] = lambda stream: None,
    form: str = "yuv420p",
    options: dict[str, str] | None = None,
) -> Path:
    """A film as others write them; ``times`` in seconds, otherwise 25 frames a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], form
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        set_up(stream)
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = round(times[index] * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def predicted(film: Path) -> Path:
    """The film that ``predict`` makes of a film."""
    out = film.parent / "out"
    predict(AllBackground(), find_sources([str(film)]), out)
    return out / f"{film.stem}.mp4"


def times(path: Path) -> list[float]:
    return [round(float(frame.time), 3) for frame in read_frames(path)]


def end(path: Path) -> float:
    *_, last = read_frames(path)
    return round(float(last.time + last.duration), 3)


def difference(pixels: Pixels, expected: Pixels | tuple[int, int, int]) -> float:
    """The largest, of the middles of three areas."""
    height, width = pixels.shape[:2]
    places = np.ix_([height // 4, 3 * height // 4], [width // 4, 3 * width // 4])
    expected = np.broadcast_to(np.asarray(expected, dtype=int), pixels.shape)
    return float(np.abs(pixels[places].astype(int) - expected[places]).max())


# Times.


def test_a_slow_film_is_whole(tmp_path: Path) -> None:
    film = write(tmp_path / "slow.mp4", [corners()] * 6, times=[0, 1, 2, 3, 4, 5], options={"bf": "0"})
    assert times(film) == [0, 1, 2, 3, 4, 5]
    result = predicted(film)
    assert times(result) == [0, 1, 2, 3, 4, 5]
    assert end(result) == end(film)


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts"])
@pytest.mark.parametrize("num_b_frames", [0, 3])
def test_frames_keep_their_times(suffix: str, num_b_frames: int, tmp_path: Path) -> None:
    uneven = [0, 0.033, 0.066, 0.5, 0.6, 0.61, 1.2, 3.0, 3.01, 3.02, 3.9]
    noise = np.random.default_rng(0)
    frames = [noise.integers(0, 255, (*SIZE, 3), dtype=np.uint8) for _ in uneven]
    film = write(tmp_path / f"uneven.{suffix}", frames, times=uneven, options={"bf": str(num_b_frames)})
    start = times(film)[0]
    assert times(film) == pytest.approx([start + time for time in uneven], abs=0.002)
    result = predicted(film)
    assert times(result) == pytest.approx(uneven, abs=0.002)
    assert end(result) == pytest.approx(end(film) - start, abs=0.002)
    for before, after in zip(read_frames(film), read_frames(result), strict=True):
        assert np.abs(before.pixels.astype(int) - after.pixels).mean() < 20


def test_the_last_frame_keeps_its_duration(tmp_path: Path) -> None:
    with video_writer(tmp_path / "held.mp4", SIZE, Fraction(25)) as append:
        append(Frame(corners(), Fraction(7), Fraction(1, 25)))
        append(Frame(corners(), Fraction(8), Fraction(5, 2)))
    first, last = read_frames(tmp_path / "held.mp4")
    assert (first.time, first.duration, last.time, last.duration) == (0, 1, 1, Fraction(5, 2))
    assert end(predicted(tmp_path / "held.mp4")) == 3.5


def test_a_last_frame_that_stands_for_long_is_no_missing_end(tmp_path: Path) -> None:
    """Matroska need not say it of the frame, only of the film."""
    film = write(tmp_path / "held.mkv", [corners()] * 10)
    content = film.read_bytes()
    assert content.count(b"00:00:00.400000000") == 1
    film.write_bytes(content.replace(b"00:00:00.400000000", b"00:00:04.400000000"))
    assert end(film) == 4.4
    assert end(predicted(film)) == 4.4
    film.write_bytes(content.replace(b"00:00:00.400000000", b"99:00:00.400000000"))
    with pytest.raises(DataError, match=r"the video ends after 0\.4 of 356400\.4 seconds"):
        list(read_frames(film))


def write_with_sound(path: Path, seconds: int, num_frames: int = 30, tags: dict[str, str] | None = None) -> Path:
    """A film of 25 frames a second of noise, with sound that begins before it in the file and ends after so long."""
    noise = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        film = container.add_stream("libx264", rate=25, options={"bf": "3", "x264-params": "b-adapt=0"})
        sound = container.add_stream("aac", rate=8000)
        film.height, film.width, film.pix_fmt = *SIZE, "yuv420p"
        film.metadata.update(tags or {})
        for start in [*range(0, min(seconds, 20) * 8000, 1024), seconds * 8000]:
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
            silence.sample_rate, silence.pts = 8000, start
            container.mux(sound.encode(silence))
        container.mux(sound.encode())
        for _ in range(num_frames):
            pixels = noise.integers(0, 255, (*SIZE, 3), dtype=np.uint8)
            container.mux(film.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(film.encode())
    return path


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
@pytest.mark.parametrize("seconds", [20, 4000])
@pytest.mark.parametrize("tag", ["DURATION", "DURATION-eng", None])
def test_sound_that_is_longer_holds_no_frame(suffix: str, seconds: int, tag: str | None, tmp_path: Path) -> None:
    """Matroska states the duration of the file; of a stream it has a tag, with a language or without, or nothing."""
    own = {"DURATION-eng": "00:00:01.200000000"} if tag == "DURATION-eng" else {}
    film = write_with_sound(tmp_path / f"film.{suffix}", seconds, tags=own)
    if tag != "DURATION":
        film.write_bytes(film.read_bytes().replace(b"DURATION\x44\x87", b"NOTHING!\x44\x87", 2 if tag is None else 1))
    if suffix == "mkv":
        with av.open(str(film)) as container:
            found = [key for key in container.streams.video[0].metadata if key.startswith("DURATION")]
            assert found == [tag] * (tag is not None)
    assert len(times(film)) == 30
    assert end(film) - times(film)[0] == pytest.approx(1.2, abs=0.03)
    assert end(predicted(film)) == pytest.approx(1.2, abs=0.03)


def test_zeros_in_place_of_an_end_are_noticed_without_a_duration_of_the_film(tmp_path: Path) -> None:
    film = write_with_sound(tmp_path / "film.mkv", 4, num_frames=100)
    content = film.read_bytes().replace(b"DURATION", b"NOTHING!")
    film.write_bytes(content)
    assert end(film) == pytest.approx(4, abs=0.2)
    film.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))
    with pytest.raises(DataError, match=r"the video ends after .* seconds"):
        list(read_frames(film))


def test_a_film_that_starts_late_ends_where_its_file_ends(tmp_path: Path) -> None:
    late = [5 + index / 25 for index in range(10)]
    film = write(tmp_path / "late.mkv", [corners()] * 10, times=late, options={"bf": "0"})
    film.write_bytes(film.read_bytes().replace(b"DURATION", b"NOTHING!"))
    assert times(film) == late
    assert end(film) == pytest.approx(5.4, abs=0.05)


@pytest.mark.parametrize("num_frames", [3, 25, 50])
def test_a_clock_that_is_set_back_goes_on(num_frames: int, tmp_path: Path) -> None:
    one = write(tmp_path / "one.ts", [corners()] * num_frames).read_bytes()
    (tmp_path / "three.ts").write_bytes(one * 3)
    found = times(tmp_path / "three.ts")
    assert len(found) == 3 * num_frames
    assert np.allclose(np.diff(found), 0.04, atol=0.002)


def test_frames_out_of_order_do_not_move_the_others(tmp_path: Path) -> None:
    """Of an MP4 that does not say in which order its frames are shown."""
    film = write(tmp_path / "film.mp4", [corners()] * 50, options={"bf": "3", "x264-params": "b-adapt=0"})
    content = film.read_bytes()
    assert content.count(b"ctts") == 1
    film.write_bytes(content.replace(b"ctts", b"free"))
    with av.open(str(film)) as container:
        told = [float(frame.time) for frame in container.decode(video=0)]
    assert min(np.diff(told)) < 0
    found = [float(frame.time) for frame in read_frames(film)]
    assert len(found) == len(told)
    assert min(np.diff(found)) > 0
    assert np.abs(np.subtract(found, sorted(told))).max() < 0.1


def test_frames_of_one_time_stay_in_order(tmp_path: Path) -> None:
    with video_writer(tmp_path / "same.mp4", SIZE, Fraction(25)) as append:
        for seconds in (0, 0, 1):
            append(Frame(corners(), Fraction(seconds), Fraction(0)))
    found = times(tmp_path / "same.mp4")
    assert len(found) == 3
    assert found[0] < found[1] + 0.001 < found[2]
    assert found[2] == 1


@pytest.mark.parametrize("seconds", [10**6, 10**30])
@pytest.mark.parametrize("is_last", [False, True])
def test_frames_that_no_mp4_can_hold_are_refused(seconds: int, is_last: bool, tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"film\.mp4: no MP4 shows one frame for more than 6\.6 hours"),
        video_writer(tmp_path / "film.mp4", SIZE, Fraction(25)) as append,
    ):
        append(Frame(corners(), Fraction(0), Fraction(seconds if is_last else 1)))
        append(Frame(corners(), Fraction(seconds), Fraction(1)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("suffix", "written"),
    [
        *((suffix, "film.mp4") for suffix in (".3gp", ".3g2", ".f4v")),
        *((suffix, "film.ts") for suffix in (".mts", ".M2TS", ".m2t")),
        *((suffix, "film.vob") for suffix in (".mpe", ".vob")),
        *((suffix, "film.m2v") for suffix in (".m1v", ".m2v")),
    ],
)
def test_suffixes_of_cameras_and_discs(suffix: str, written: str, tmp_path: Path) -> None:
    codec = "libx264" if written in ("film.mp4", "film.ts") else "mpeg2video"
    film = write(tmp_path / written, [corners()] * 10, codec=codec).rename(tmp_path / f"film{suffix}")
    assert find_sources([str(tmp_path)]).videos == (film,)
    assert len(times(predicted(film))) == 10


def test_a_film_with_the_longest_name(tmp_path: Path) -> None:
    film = write(tmp_path / "film.mp4", [corners()] * 3).rename(tmp_path / f"{'ä' * 125}x.mp4")
    assert len(os.fsencode(film.name)) == 255
    assert len(times(predicted(film))) == 3


# Shapes.


def test_pixels_that_are_not_square_stay_so(tmp_path: Path) -> None:
    def wide(stream: VideoStream) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(2)

    film = write(tmp_path / "wide.mkv", [corners()] * 3, set_up=wide)
    assert read_video_info(film).pixel_aspect == 2
    with av.open(str(predicted(film))) as container:
        assert container.streams.video[0].sample_aspect_ratio == 2


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("flipped", [False, True])
def test_films_are_shown_upright(degrees: int, mirrored: bool, flipped: bool, tmp_path: Path) -> None:
    def turned(stream: VideoStream) -> None:
        stream.set_display_rotation(degrees, hflip=mirrored, vflip=flipped)
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)

    film = write(tmp_path / "turned.mp4", [corners()], set_up=turned)
    expected = np.rot90(corners(), degrees // 90)[:: -1 if flipped else 1, :: -1 if mirrored else 1]
    (frame,) = read_frames(film)
    info = read_video_info(film)
    assert info.size == frame.pixels.shape[:2] == expected.shape[:2]
    assert info.pixel_aspect == (Fraction(3, 4) if degrees % 180 else Fraction(4, 3))
    assert difference(frame.pixels, expected) <= 6
    (shown,) = read_frames(predicted(film))
    assert difference(shown.pixels, expected) <= 8


def test_frames_that_grow_are_scaled_to_the_first(tmp_path: Path) -> None:
    """Of a stream of two sizes, as some cameras and broadcasts write it."""
    parts = [write(tmp_path / f"{size[0]}.ts", [corners(size)] * 5).read_bytes() for size in (SIZE, (96, 192))]
    film = tmp_path / "grows.ts"
    film.write_bytes(b"".join(parts))
    assert [frame.pixels.shape[0] for frame in read_frames(film)] == [48] * 5 + [96] * 5
    shown = list(read_frames(predicted(film)))
    assert len(shown) == 10
    assert shown[-1].pixels.shape[:2] == SIZE
    assert difference(shown[-1].pixels, corners()) <= 12


@pytest.mark.parametrize("size", [(1, 1), (37, 61)])
def test_films_of_odd_sizes(size: tuple[int, int], tmp_path: Path) -> None:
    film = write(tmp_path / "odd.mkv", [corners(size)] * 3, codec="ffv1", form="yuv444p")
    assert read_video_info(film).size == size
    shown = list(read_frames(predicted(film)))
    assert len(shown) == 3
    assert shown[0].pixels.shape[:2] == (size[0] + 1, size[1] + 1)


def test_sizes_that_cannot_be_encoded_are_named(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"long\.mp4: cannot be written as H\.264") as caught,
        video_writer(tmp_path / "long.mp4", (2, 17_000), Fraction(25)) as append,
    ):
        append(Frame(np.zeros((2, 17_000, 3), dtype=np.uint8), Fraction(0), Fraction(1, 25)))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "avi", "ts"])
def test_frames_of_too_many_pixels_are_refused(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = write(tmp_path / f"large.{suffix}", [corners()] * 3, codec="mpeg4" if suffix == "avi" else "libx264")
    monkeypatch.setenv("DRIVABLE_MAX_PIXELS", str(SIZE[0] * SIZE[1] - 1))
    # FFmpeg finds the size of the others in their frames only, and refuses these.
    has_header = suffix in ("mkv", "mp4")
    told = "4608 pixels .*DRIVABLE_MAX_PIXELS raises it" if has_header else r"(the )?video .*DRIVABLE_MAX_PIXELS\?"
    with pytest.raises(DataError, match=rf"large\.{suffix}: (not a readable )?{told}"):
        read_video_info(film)


# Colours.


@pytest.mark.parametrize("size", [(360, 640), (720, 1280)])
@pytest.mark.parametrize(
    ("codec", "form", "space", "tag", "is_full"),
    [
        ("libx264", "yuv420p", Colorspace.ITU709, 1, False),
        ("libx264", "yuv420p", Colorspace.ITU601, 6, False),
        ("libx264", "yuvj420p", Colorspace.ITU601, 6, True),
        ("libx264", "yuv420p", Colorspace.ITU709, 1, True),
        ("ffv1", "yuv420p10le", Colorspace.BT2020, 9, False),
    ],
)
def test_colours_follow_the_films_tags(
    size: tuple[int, int], codec: str, form: str, space: Colorspace, tag: int, is_full: bool, tmp_path: Path
) -> None:
    colour_range = 2 if is_full else 1
    film = tmp_path / "film.mkv"
    with av.open(str(film), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = *size, form
        stream.codec_context.colorspace, stream.codec_context.color_range = tag, colour_range
        frame = av.VideoFrame.from_ndarray(corners(size), format="rgb24")
        container.mux(stream.encode(frame.reformat(format=form, dst_colorspace=space, dst_color_range=colour_range)))
        container.mux(stream.encode())
    (read,) = read_frames(film)
    assert difference(read.pixels, corners(size)) <= 3
    (shown,) = read_frames(predicted(film))
    assert difference(shown.pixels, corners(size)) <= 5


@pytest.mark.parametrize("size", [(360, 640), (720, 1280), (1280, 720)])
def test_films_without_tags_are_read_as_players_do(size: tuple[int, int], tmp_path: Path) -> None:
    space = Colorspace.ITU601 if size == (360, 640) else Colorspace.ITU709
    film = tmp_path / "film.mkv"
    with av.open(str(film), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width = size
        frame = av.VideoFrame.from_ndarray(corners(size), format="rgb24")
        container.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace=space, dst_color_range=1)))
        container.mux(stream.encode())
    (read,) = read_frames(film)
    assert difference(read.pixels, corners(size)) <= 3


@pytest.mark.parametrize(("size", "matrix"), [((360, 640), 6), ((720, 1280), 1)])
def test_results_are_tagged_in_stream_and_container(size: tuple[int, int], matrix: int, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with video_writer(path, size, Fraction(25)) as append:
        append(Frame(corners(size), Fraction(0), Fraction(1, 25)))
    content = path.read_bytes()
    # ISO 14496-12: primaries, transfer, matrix, full range.
    assert content[content.index(b"colrnclx") + 8 :][:7] == bytes([0, 1, 0, 1, 0, matrix, 0])
    with av.open(str(path)) as container:
        (frame,) = container.decode(video=0)
        assert (frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range) == (1, 1, matrix, 1)
        luma = frame.to_ndarray()[size[0] // 4, size[1] // 4]
    red, green, blue = ((0.2126, 0.7152, 0.0722) if matrix == 1 else (0.299, 0.587, 0.114))  # fmt: skip
    assert luma == pytest.approx(16 + 219 * (red * GREEN[0] + green * GREEN[1] + blue * GREEN[2]) / 255, abs=1.5)


@pytest.mark.parametrize(
    ("name", "codec", "form"),
    [
        ("grey.mkv", "ffv1", "gray"),
        ("alpha.webm", "libvpx-vp9", "yuva420p"),
        ("rgb.avi", "rawvideo", "bgr24"),
        ("deep.mov", "libx264", "yuv422p10le"),
        ("jpeg.avi", "mjpeg", "yuvj420p"),
        ("low.avi", "rawvideo", "rgb555le"),
    ],
)
def test_pixel_formats(name: str, codec: str, form: str, tmp_path: Path) -> None:
    (*_, frame) = read_frames(write(tmp_path / name, [corners()] * 3, codec=codec, form=form))
    expected = corners()
    if form == "gray":
        expected = np.repeat(np.round(expected @ [0.299, 0.587, 0.114])[..., None], 3, axis=2).astype(np.uint8)
    assert difference(frame.pixels, expected) <= 12


def test_an_unknown_matrix_is_named(tmp_path: Path) -> None:
    def odd(stream: VideoStream) -> None:
        stream.codec_context.colorspace = 8

    film = write(tmp_path / "odd.mkv", [corners()], set_up=odd)
    with pytest.raises(DataError, match=r"odd\.mkv: colours cannot be converted to RGB: matrix 8 of H\.273"):
        list(read_frames(film))


# Streams.


@pytest.mark.parametrize("is_marked", [False, True])
@pytest.mark.parametrize("is_first", [False, True])
def test_a_cover_is_not_the_film(is_marked: bool, is_first: bool, tmp_path: Path) -> None:
    film = tmp_path / "cover.mkv"
    with av.open(str(film), "w") as container:
        streams = {}
        for kind in ("cover", "film") if is_first else ("film", "cover"):
            streams[kind] = container.add_stream("mjpeg" if kind == "cover" else "libx264", rate=25)
            size = (480, 640) if kind == "cover" else SIZE
            streams[kind].height, streams[kind].width = size
            streams[kind].pix_fmt = "yuvj420p" if kind == "cover" else "yuv420p"
        if is_marked:
            streams["cover"].disposition = Disposition.default
        container.mux(streams["cover"].encode(av.VideoFrame.from_ndarray(corners((480, 640)), format="rgb24")))
        container.mux(streams["cover"].encode())
        for _ in range(12):
            container.mux(streams["film"].encode(av.VideoFrame.from_ndarray(corners(), format="rgb24")))
        container.mux(streams["film"].encode())
    assert read_video_info(film).size == SIZE
    assert sum(1 for _ in read_frames(film)) == 12


def test_sound_alone_is_no_film(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=48_000)
        sound = av.AudioFrame.from_ndarray(np.zeros((2, 1024), dtype=np.float32), format="fltp", layout="stereo")
        sound.sample_rate = 48_000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(DataError, match=r"sound\.mp4: no picture stream"):
        read_video_info(tmp_path / "sound.mp4")


@pytest.mark.parametrize("has_film", [False, True])
def test_a_cover_of_sound_is_no_film(has_film: bool, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "song.mp4"), "w") as container:
        cover, sound = container.add_stream("mjpeg", rate=25), container.add_stream("aac", rate=48_000)
        cover.height, cover.width, cover.pix_fmt = *SIZE, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        if has_film:
            film = container.add_stream("libx264", rate=25)
            film.height, film.width = 24, 24
            container.mux(film.encode(av.VideoFrame.from_ndarray(corners((24, 24)), format="rgb24")))
            container.mux(film.encode())
        quiet = av.AudioFrame.from_ndarray(np.zeros((2, 1024), dtype=np.float32), format="fltp", layout="stereo")
        quiet.sample_rate = 48_000
        container.mux(sound.encode(quiet))
        container.mux(sound.encode())
        container.mux(cover.encode(av.VideoFrame.from_ndarray(corners(), format="rgb24")))
        container.mux(cover.encode())
    if has_film:
        assert read_video_info(tmp_path / "song.mp4").size == (24, 24)
    else:
        with pytest.raises(DataError, match="no picture stream"):
            read_video_info(tmp_path / "song.mp4")


def test_longer_sound_is_no_missing_end(tmp_path: Path) -> None:
    film = tmp_path / "long.mkv"
    with av.open(str(film), "w") as container:
        pictures, sound = container.add_stream("libx264", rate=25), container.add_stream("aac", rate=48_000)
        pictures.height, pictures.width = SIZE
        for _ in range(10):
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(corners(), format="rgb24")))
        container.mux(pictures.encode())
        for index in range(200):
            quiet = av.AudioFrame.from_ndarray(np.zeros((2, 1024), dtype=np.float32), format="fltp", layout="stereo")
            quiet.sample_rate, quiet.pts = 48_000, 1024 * index
            container.mux(sound.encode(quiet))
        container.mux(sound.encode())
    assert sum(1 for _ in read_frames(film)) == 10
    assert end(film) < 1


def test_names_in_a_film_that_are_not_utf8(tmp_path: Path) -> None:
    film = write(tmp_path / "film.mp4", [corners()] * 3)
    content = film.read_bytes()
    assert b"VideoHandler" in content
    film.write_bytes(content.replace(b"VideoHandler", b"Vid\xe9oHandler"))
    assert sum(1 for _ in read_frames(film)) == 3


# Files.


@pytest.mark.parametrize(
    "name",
    [
        "12:30:45.mp4",
        "http:127.0.0.1:8097?x.mp4",
        "-y.mp4",
        "film%05d.mp4",
        "file:x.mp4",
        "concat:a|b.mp4",
        "pipe:0.mp4",
        "a\nb.mp4",
        "\udcff.mp4",
    ],
)
def test_no_name_is_an_address(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = write(tmp_path / "film.mp4", [corners()] * 3).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    result = predict(AllBackground(), find_sources([name]), Path("out"))
    assert result.num_frames == 3
    assert [path.name for path in Path("out").iterdir()] == [name]
    assert sum(1 for _ in read_frames(Path("out") / film.name)) == 3


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A place that nobody may connect to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        yield server


def numbers(*values: int) -> bytes:
    """As QuickTime writes them."""
    return b"".join(value.to_bytes(4, "big") for value in values)


def reference_film(address: bytes) -> bytes:
    """A QuickTime film whose frames lie elsewhere."""

    def box(kind: bytes, *parts: bytes) -> bytes:
        content = b"".join(parts)
        return (8 + len(content)).to_bytes(4, "big") + kind + content

    place = box(b"alis" if address.startswith(b"/") else b"url ", numbers(0), address, b"\0")
    described = bytes(6) + b"\0\1" + bytes(16) + b"\0\x20\0\x20" + bytes(50)
    table = box(
        b"stbl",
        box(b"stsd", numbers(0, 1), box(b"avc1", described)),
        box(b"stts", numbers(0, 1, 2, 1)),
        box(b"stsc", numbers(0, 1, 1, 2, 1)),
        box(b"stsz", numbers(0, 10, 2)),
        box(b"stco", numbers(0, 1, 0)),
    )
    media = box(
        b"mdia",
        box(b"mdhd", numbers(0, 0, 0, 25, 2, 0)),
        box(b"hdlr", numbers(0, 0), b"vide", bytes(13)),
        box(b"minf", box(b"vmhd", numbers(1, 0, 0)), box(b"dinf", box(b"dref", numbers(0, 1), place)), table),
    )
    track = box(b"trak", box(b"tkhd", numbers(1, 0, 0, 1, 0, 2), bytes(60)), media)
    return box(b"ftyp", b"qt  ", numbers(0), b"qt  ") + box(
        b"moov", box(b"mvhd", numbers(0, 0, 0, 25, 2), bytes(80)), track
    )


CONTENTS: dict[str, Callable[[str], bytes]] = {
    "hls": lambda address: f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{address}\n#EXT-X-ENDLIST\n".encode(),
    "concat": lambda address: f"ffconcat version 1.0\nfile '{address}'\n".encode(),
    "dash": lambda address: (
        '<?xml version="1.0"?>'
        '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT5S">'
        f"<Period><AdaptationSet mimeType='video/mp4'><Representation id='1' bandwidth='1'><BaseURL>{address}</BaseURL>"
        "</Representation></AdaptationSet></Period></MPD>"
    ).encode(),
    "sdp": lambda address: (
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
        b"a=rtpmap:96 H264/90000\n"
    ),
    "reference": lambda address: reference_film(address.encode()),
}  # fmt: skip


@pytest.mark.parametrize("kind", CONTENTS)
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "ts"])
def test_lists_and_references_lead_nowhere(
    kind: str, suffix: str, tmp_path: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = write(tmp_path / "marker.ts", [corners()] * 3)
    film = tmp_path / f"film.{suffix}"
    for address in (f"http://127.0.0.1:{listener.getsockname()[1]}/a.ts", str(marker), "marker.ts", "/etc/passwd"):
        film.write_bytes(CONTENTS[kind](address))
        with pytest.raises(DataError, match="film"):
            assert not list(read_frames(film))
            read_video_info(film)
    with pytest.raises(TimeoutError):
        listener.accept()


@pytest.mark.parametrize("kind", ["pipe", "endless", "loop", "folder", "nothing", "empty"])
def test_only_regular_files_are_films(kind: str, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    if kind == "pipe":
        os.mkfifo(film)
    elif kind == "endless":
        film.symlink_to("/dev/zero")
    elif kind == "loop":
        film.symlink_to(film)
    elif kind == "folder":
        film.mkdir()
    elif kind == "empty":
        film.touch()
    for read in (read_video_info, lambda path: list(read_frames(path))):
        with pytest.raises(DataError, match=r"film\.mp4: "):
            read(film)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_zeros_in_place_of_an_end_are_noticed(suffix: str, tmp_path: Path) -> None:
    """As downloads leave them that reserve the space first."""
    noise = np.random.default_rng(0)
    frames = [noise.integers(0, 255, (*SIZE, 3), dtype=np.uint8) for _ in range(100)]
    film = write(tmp_path / f"film.{suffix}", frames, codec="mpeg4" if suffix == "avi" else "libx264")
    content = film.read_bytes()
    if suffix == "mp4":  # Its header is at the end.
        content = content[: len(content) // 2] + bytes(3000) + content[len(content) // 2 + 3000 :]
    else:
        content = content[: len(content) // 2] + bytes(len(content) - len(content) // 2)
    film.write_bytes(content)
    with pytest.raises(DataError, match="skip-broken"):
        list(read_frames(film))


def test_frames_that_were_guessed_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    noise = np.random.default_rng(0)
    frames = [noise.integers(0, 255, (*SIZE, 3), dtype=np.uint8) for _ in range(40)]
    film = write(tmp_path / "film.avi", frames, codec="mpeg4")
    content = bytearray(film.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20] = bytes(value ^ 0x55 for value in content[middle : middle + 20])
    film.write_bytes(content)
    assert sum(1 for _ in read_frames(film)) == 40
    (message,) = caplog.messages
    assert "film.avi: damaged at 0." in message


@pytest.mark.parametrize(
    ("content", "stated"),
    [
        (numbers(16) + b"ftyp" + bytes(8) + numbers(24) + b"mdat" + bytes(16), 40),
        (numbers(16) + b"ftyp" + bytes(8) + numbers(24) + b"mdat" + bytes(9), 40),
        (numbers(16) + b"ftyp" + bytes(8) + numbers(1) + b"mdat" + numbers(1, 0), 16 + 2**32),
        (numbers(16) + b"ftyp" + bytes(8) + numbers(0) + b"mdat", None),
        (numbers(16) + b"ftyp" + bytes(8) + b"what a recorder adds", None),
        (numbers(8) + b"free" + numbers(7) + b"mdat", None),
        (b"RIFF" + (4).to_bytes(4, "little") + b"AVI RIFF" + (9).to_bytes(4, "little") + b"AVIX", 30),
        (b"RIFF" + bytes(4) + b"AVI ", None),
        (bytes.fromhex("1a45dfa3 82 0000 18538067 420a") + bytes(5), 13 + 0x20A),
        (bytes.fromhex("1a45dfa3 82 0000 18538067 01ffffffffffffff") + bytes(5), None),
        (bytes.fromhex("1a45dfa3 00"), None),
        (bytes.fromhex("1a45dfa3"), None),
        (b"", None),
        (b"\x47" * 188, None),
    ],
)
def test_what_containers_say_of_their_size(content: bytes, stated: int | None) -> None:
    assert stated_bytes(BytesIO(content)) == stated


@pytest.mark.parametrize(
    ("size", "has_motion"), [((12, 100), False), ((40, 16), False), ((1, 1), False), ((48, 64), True)]
)
def test_narrow_frames_have_no_motion(size: tuple[int, int], has_motion: bool) -> None:
    """OpenCV's optical flow crashes on them."""
    calibration = Calibration(temperature=1, threshold=0.5, accuracy=0.9, fitted_on="nothing")
    frames = [corners(size) if min(size) > 1 else np.zeros((*size, 3), dtype=np.uint8) for _ in range(3)]
    found = score_frames(AllBackground(), calibration, frames, are_consecutive=True)
    assert found.num_frames == 3
    assert np.isnan(found.flicker.value) == (not has_motion)


def test_damaged_films_leave_no_threads_and_no_files_behind(tmp_path: Path) -> None:
    film = write(tmp_path / "film.mp4", [corners((480, 640))] * 10, options={"movflags": "+faststart"})
    content = film.read_bytes()
    film.write_bytes(content[: len(content) * 2 // 3] + bytes(len(content) // 3))

    def held() -> tuple[int, int]:
        return len(list(Path("/proc/self/task").iterdir())), len(list(Path("/proc/self/fd").iterdir()))

    def fail() -> None:
        with pytest.raises(DataError):
            list(read_frames(film))
        next(iter(read_frames(tmp_path / "whole.mp4")))

    write(tmp_path / "whole.mp4", [corners((480, 640))] * 10)
    fail()
    before = held()
    for _ in range(5):
        fail()
    assert held() == before


def test_memory_does_not_grow_with_a_films_length(tmp_path: Path) -> None:
    film = write(tmp_path / "film.mp4", [corners((480, 640))] * 300, options={"preset": "ultrafast"})

    def resident() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    gc.collect()
    gc.disable()  # What waits for the collector grows too.
    try:
        for index, _ in enumerate(read_frames(film)):
            if index == 50:
                before = resident()
        assert resident() - before < 40
    finally:
        gc.enable()
