"""Pictures and videos in, overlays, label maps and H.264 out."""

import os
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from drivable.checkpoint import Checkpoint, Preprocessing, find_checkpoint, load_checkpoint
from drivable.config.models import IMAGENET, LiteSpec
from drivable.data import open_data, select_split
from drivable.errors import ConfigError, DataError, OutputError
from drivable.evaluation import evaluate
from drivable.imaging.sources import find_sources
from drivable.imaging.video import Frame, read_frames, read_video_info, video_writer
from drivable.labels import BDD100K_DRIVABLE, LabelSet
from drivable.models import build_model
from drivable.prediction import overlay_frames, predict
from drivable.segmenter import Image as Pixels
from drivable.segmenter import LabelMap, Origin, Segmenter, SegmenterInfo, TorchSegmenter, load
from drivable.segmenter.devices import find_device
from drivable.synthetic import render, render_drive, sample_scene

SIZE = (72, 128)


class BrightIsDirect(Segmenter):
    """A segmenter without a network: pixels above mid grey are direct lane."""

    labels = BDD100K_DRIVABLE
    origin = Origin("bright", "bright", None, None)

    info = SegmenterInfo(BDD100K_DRIVABLE, None, "torch", "cpu", "fp32", None)

    def _ids(self, images: Pixels) -> LabelMap:
        return np.where(images.mean(axis=3) > 127, 0, 2).astype(np.uint8)

    def _class_probabilities(self, images: Pixels) -> np.ndarray:
        return np.eye(3, dtype=np.float32)[self._ids(images)].transpose(0, 3, 1, 2)


@pytest.fixture(scope="module")
def segmenter() -> TorchSegmenter:
    torch.manual_seed(0)
    spec = LiteSpec()
    preprocessing = Preprocessing((64, 96), IMAGENET)
    return TorchSegmenter(Checkpoint(build_model(spec, 3).state_dict(), spec, BDD100K_DRIVABLE, preprocessing), "cpu")


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    with video_writer(path, SIZE, Fraction(10)) as write:
        for index, frame in enumerate(render_drive(3, 12, SIZE, 10)):
            write(Frame(frame.image, Fraction(index, 10), Fraction(1, 10)))
    return path


def half_bright(size: tuple[int, int] = (37, 61)) -> Pixels:
    image = np.zeros((*size, 3), dtype=np.uint8)
    image[:, size[1] // 2 :] = 255
    return image


def test_pictures_become_overlays_and_label_maps(tmp_path: Path) -> None:
    Image.fromarray(half_bright()).save(tmp_path / "ein Bild.png")
    result = predict(BrightIsDirect(), find_sources([str(tmp_path)]), tmp_path / "out")
    assert (result.num_pictures, result.num_frames, result.broken) == (1, 0, [])
    label_map = Image.open(tmp_path / "out/label_maps/ein Bild.png")
    assert label_map.mode == "L"
    assert np.array_equal(np.asarray(label_map), BrightIsDirect().segment(half_bright()))
    overlay = np.asarray(Image.open(tmp_path / "out/overlays/ein Bild.jpg")).astype(int)
    assert overlay.shape == (37, 61, 3)
    assert np.allclose(overlay[20, 5], 0, atol=12)
    assert np.allclose(overlay[20, 55], 0.55 * 255 + 0.45 * np.array([219, 94, 86]), atol=12)


def test_any_size_comes_back_at_its_own(segmenter: TorchSegmenter) -> None:
    for size in ((720, 1280), (360, 640), (37, 61), (200, 100)):
        image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        label_map = segmenter.segment(image)
        assert label_map.shape == size
        assert label_map.dtype == np.uint8
        assert set(np.unique(label_map)) <= {0, 1, 2}


def test_probabilities_agree_with_the_label_map(segmenter: TorchSegmenter) -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 150, 3), dtype=np.uint8)
    probabilities = segmenter.probabilities(image)
    assert probabilities.shape == (3, 90, 150)
    assert np.allclose(probabilities.sum(axis=0), 1, atol=1e-5)
    assert np.array_equal(probabilities.argmax(axis=0), segmenter.segment(image))


def test_batches_of_many_sizes_equal_single_pictures(segmenter: TorchSegmenter) -> None:
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((40, 60), (90, 50))]
    for together, image in zip(segmenter.segment_batch(images), images, strict=True):
        assert np.mean(together == segmenter.segment(image)) > 0.999
    assert segmenter.segment_batch([]) == []


def test_what_is_no_picture_is_refused(segmenter: TorchSegmenter) -> None:
    with pytest.raises(DataError, match=r"got uint8 \(5, 5\)"):
        segmenter.segment(np.zeros((5, 5), dtype=np.uint8))
    with pytest.raises(DataError, match="got float64"):
        segmenter.segment(np.zeros((5, 5, 3)))  # type: ignore[arg-type]


def test_bf16_changes_few_pixels_and_some_probabilities() -> None:
    checkpoint = load_checkpoint(find_checkpoint("drivable-lite"))
    exact, cast = TorchSegmenter(checkpoint, "cpu"), TorchSegmenter(checkpoint, "cpu", "bf16")
    image = render(sample_scene(np.random.default_rng(0), (360, 640))).image
    assert 0.98 < (exact.segment(image) == cast.segment(image)).mean() <= 1
    difference = np.abs(exact.probabilities(image) - cast.probabilities(image))
    assert difference.max() > 0
    assert difference.mean() < 0.02


def test_an_exported_file_has_its_own_precision(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="computes in the precision it was exported with"):
        load(tmp_path / "lite.onnx", precision="bf16")


def test_no_such_device() -> None:
    with pytest.raises(ConfigError, match="device 'cuda:99' is not to be had here"):
        TorchSegmenter(
            Checkpoint({}, LiteSpec(), BDD100K_DRIVABLE, Preprocessing((64, 96), IMAGENET)),
            "cuda:99",
        )


@pytest.mark.parametrize(
    ("cuda", "remedy"), [(None, "pip install --force-reinstall torch"), ("13.0", "install NVIDIA's driver")]
)
def test_without_cuda_it_says_what_to_install(cuda: str | None, remedy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.version, "hip", None)

    def fails(*_: object, **__: object) -> None:
        raise AssertionError("Torch not compiled with CUDA enabled")

    monkeypatch.setattr(torch, "empty", fails)
    with pytest.raises(ConfigError, match=remedy) as told:
        find_device("cuda")
    assert "\n" not in str(told.value)


def test_a_video_becomes_an_h264_video(film: Path, tmp_path: Path) -> None:
    result = predict(BrightIsDirect(), find_sources([str(film)]), tmp_path / "out")
    assert result.num_frames == 12
    with av.open(tmp_path / "out/film.mp4") as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert (stream.height, stream.width) == SIZE
        assert stream.average_rate == 10
        assert sum(1 for _ in container.decode(stream)) == 12


def test_overlay_frames_keep_order(film: Path) -> None:
    frames = list(read_frames(film))
    overlays = list(overlay_frames(BrightIsDirect(), frames))
    assert len(overlays) == 12
    for frame, overlay in zip(frames, overlays, strict=True):
        dark = frame.pixels.mean(axis=2) <= 127
        assert np.array_equal(overlay.pixels[dark], frame.pixels[dark])
        assert (overlay.time, overlay.duration) == (frame.time, frame.duration)


def test_video_info(film: Path) -> None:
    info = read_video_info(film)
    assert (info.size, info.fps, info.num_frames) == (SIZE, 10, 12)


@pytest.mark.parametrize("size", [(37, 61), (1, 1), (1, 50), (50, 1), (2, 3)])
def test_odd_frames_are_filled_up(size: tuple[int, int], tmp_path: Path) -> None:
    pixels = half_bright(size)
    with video_writer(tmp_path / "odd.mp4", size, Fraction(25)) as write:
        write(Frame(pixels, Fraction(0), Fraction(1, 25)))
    (frame,) = read_frames(tmp_path / "odd.mp4")
    assert frame.pixels.shape == (size[0] + size[0] % 2, size[1] + size[1] % 2, 3)
    assert np.abs(frame.pixels[: size[0], : size[1]].astype(int) - pixels).mean() < 12


CODECS = {"mkv": "libx264", "webm": "libvpx", "avi": "mpeg4", "ts": "libx264", "mpg": "mpeg2video", "mov": "libx264"}


def write_film(path: Path, num_frames: int) -> None:
    """Frames of noise, so that the file's bytes are spread over its seconds."""
    noise = np.random.default_rng(0)
    with av.open(path, "w", options={"movflags": "faststart"} if path.suffix == ".mov" else {}) as container:
        stream = container.add_stream(CODECS[path.suffix[1:]], rate=25)
        stream.width, stream.height, stream.pix_fmt = SIZE[1], SIZE[0], "yuv420p"
        for _ in range(num_frames):
            pixels = noise.integers(0, 255, (*SIZE, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


@pytest.mark.parametrize("suffix", CODECS)
def test_whole_films_of_every_container_pass(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"film.{suffix}"
    write_film(path, 50)
    assert sum(1 for _ in read_frames(path)) == 50


@pytest.mark.parametrize("suffix", ["mkv", "webm", "avi", "mov"])
def test_films_whose_header_promises_more_are_noticed(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"film.{suffix}"
    write_film(path, 100)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    with pytest.raises(DataError, match=rf"film\.{suffix}: the video .*--skip-broken"):
        list(read_frames(path))


@pytest.fixture
def cut_film(tmp_path: Path) -> Path:
    """An MPEG stream that ends in the middle: its header does not know."""
    path = tmp_path / "cut.mp4"
    with video_writer(path, SIZE, Fraction(10)) as write:
        for index, frame in enumerate(render_drive(3, 40, SIZE, 10)):
            write(Frame(frame.image, Fraction(index, 10), Fraction(1, 10)))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    return path


def test_a_video_that_ends_in_the_middle_is_named(cut_film: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cut\.mp4: the video"):
        predict(BrightIsDirect(), find_sources([str(cut_film)]), tmp_path / "out")
    assert not (tmp_path / "out/cut.mp4").exists()
    assert not list((tmp_path / "out").iterdir())


def test_what_is_there_of_a_cut_video_can_be_had(cut_film: Path, tmp_path: Path) -> None:
    result = predict(BrightIsDirect(), find_sources([str(cut_film)]), tmp_path / "out", skip_broken=True)
    assert 5 < result.num_frames < 40
    assert len(result.broken) == 1
    assert sum(1 for _ in read_frames(tmp_path / "out/cut.mp4")) == result.num_frames


def test_a_header_alone_is_no_video(film: Path, tmp_path: Path) -> None:
    (tmp_path / "stub.mp4").write_bytes(film.read_bytes()[:500])
    with pytest.raises(DataError, match=r"stub\.mp4"):
        read_video_info(tmp_path / "stub.mp4")


def test_broken_pictures_stop_or_are_counted(tmp_path: Path) -> None:
    Image.fromarray(half_bright()).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    sources = find_sources([str(tmp_path)])
    with pytest.raises(DataError, match=r"bad\.png: not a picture"):
        predict(BrightIsDirect(), sources, tmp_path / "out")
    result = predict(BrightIsDirect(), sources, tmp_path / "out", skip_broken=True)
    assert result.num_pictures == 1
    assert len(result.broken) == 1


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    Image.fromarray(half_bright()).save(tmp_path / "good.png")
    with pytest.raises(OutputError, match="cannot be written"):
        predict(BrightIsDirect(), find_sources([str(tmp_path / "good.png")]), Path("/dev/null/out"))


def test_a_source_is_not_overwritten(film: Path) -> None:
    before = film.read_bytes()
    with pytest.raises(OutputError, match="would overwrite it"):
        predict(BrightIsDirect(), find_sources([str(film)]), film.parent)
    assert film.read_bytes() == before


def test_sources(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.JPG", "c.mp4", "notes.txt", "deep/d.png", ".hidden.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_sources([str(tmp_path), str(tmp_path / "a.jpg"), str(tmp_path / "**/*.png")])
    assert [path.name for path in found.pictures] == ["a.jpg", "b.JPG", "d.png"]
    assert [path.name for path in found.videos] == ["c.mp4"]
    with pytest.raises(DataError, match="not a picture or video by its suffix"):
        find_sources([str(tmp_path / "notes.txt")])
    with pytest.raises(DataError, match="no such file or folder"):
        find_sources([str(tmp_path / "nothing*.jpg")])
    (tmp_path / "a.png").touch()
    with pytest.raises(DataError, match="results are named by the stem, 'a'"):
        find_sources([str(tmp_path)])


@pytest.mark.parametrize("kind", ["pipe", "endless", "loop", "nothing"])
@pytest.mark.parametrize("suffix", ["jpg", "mp4"])
def test_what_is_no_regular_file_is_left_out_of_a_folder(
    kind: str, suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Image.fromarray(half_bright()).save(tmp_path / "a.png")
    odd = tmp_path / f"odd.{suffix}"
    if kind == "pipe":
        os.mkfifo(odd)
    else:
        odd.symlink_to({"endless": "/dev/zero", "loop": odd, "nothing": tmp_path / "missing"}[kind])
    for name in (tmp_path, tmp_path / "*"):
        caplog.clear()
        found = find_sources([str(name)])
        assert (found.pictures, found.videos) == ((tmp_path / "a.png",), ())
        assert caplog.messages == [f"left out: {odd}: not a regular file"]
    with pytest.raises(DataError, match=rf"odd\.{suffix}: "):
        find_sources([str(odd)])


def test_results_of_an_earlier_run_are_no_sources(film: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "deep").mkdir()
    film.rename(tmp_path / "deep/film.mp4")
    Image.fromarray(half_bright()).save(tmp_path / "deep/road.jpg")
    for out in (tmp_path / "deep/out", tmp_path / "out"):
        for name in ("**/*", "deep/**"):
            for _ in range(2):
                found = find_sources([str(tmp_path / name)], out)
                assert [path.name for path in found.pictures + found.videos] == ["road.jpg", "film.mp4"]
                predict(BrightIsDirect(), found, out)
        assert "lies where results go" in caplog.text
        shutil.rmtree(out)
    # Beside the pictures, too; and who names results gets them.
    find_and_predict = find_sources([str(tmp_path / "deep/*.jpg")], tmp_path / "deep")
    predict(BrightIsDirect(), find_and_predict, tmp_path / "deep")
    assert len(find_sources([str(tmp_path / "deep/**/*.jpg")], tmp_path / "deep").pictures) == 1
    assert len(find_sources([str(tmp_path / "deep/overlays")], tmp_path / "deep").pictures) == 1


def test_a_film_and_a_picture_of_one_stem_have_results_of_their_own(film: Path, tmp_path: Path) -> None:
    Image.fromarray(half_bright()).save(tmp_path / "film.png")
    result = predict(BrightIsDirect(), find_sources([str(tmp_path)]), tmp_path / "out")
    assert (result.num_pictures, result.num_frames) == (1, 12)
    written = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    assert written == {"film.mp4", "overlays/film.jpg", "label_maps/film.png"}


@pytest.mark.parametrize("name", ["a\nb.mp4", "\udcff.mp4", "x" * 300, "\0"])
def test_odd_names_are_told_on_one_line(name: str) -> None:
    with pytest.raises(DataError) as caught:
        find_sources([name])
    assert str(caught.value).isprintable()


class FromMasks(BrightIsDirect):
    """Answers with given label maps in turn."""

    def __init__(self, label_maps: Iterator[LabelMap]) -> None:
        self.label_maps = label_maps

    def _ids(self, images: Pixels) -> LabelMap:
        return np.stack([next(self.label_maps) for _ in images])


def test_a_perfect_segmenter_scores_1(rendered_data: Path) -> None:
    data = open_data(rendered_data)
    samples = select_split(data, "test")
    result = evaluate(FromMasks(sample.label.read() for sample in samples), samples, data.labels)
    assert result.scores.strict3 == 1
    assert result.scores.num_pixels == 8 * 96 * 160
    assert result.num_pictures == 8


def test_evaluation_at_another_size_resizes_first(rendered_data: Path) -> None:
    data = open_data(rendered_data)
    result = evaluate(BrightIsDirect(), select_split(data, "test"), data.labels, size=(48, 80))
    assert result.scores.num_pixels == 8 * 48 * 80
    assert result.to_dict()["size"] == [48, 80]


def test_evaluation_refuses_other_classes(rendered_data: Path) -> None:
    data = open_data(rendered_data)
    with pytest.raises(DataError, match="must be the same classes"):
        evaluate(BrightIsDirect(), data.all_samples, LabelSet(("a", "b"), ((0, 0, 0), (1, 1, 1))))
