"""What counts as a picture, how large it may be, and which way is up."""

import os
import struct
import subprocess
import warnings
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drivable.data.encodings import MaskConvention
from drivable.errors import DataError
from drivable.imaging.images import PICTURE_SUFFIXES, open_picture, picture_size, read_image

QUARTERS = np.zeros((40, 64, 3), dtype=np.uint8)
QUARTERS[:20, :32], QUARTERS[:20, 32:], QUARTERS[20:, :32] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
TURNED = {
    1: QUARTERS,
    2: QUARTERS[:, ::-1],
    3: QUARTERS[::-1, ::-1],
    4: QUARTERS[::-1],
    5: QUARTERS.swapaxes(0, 1),
    6: QUARTERS[::-1].swapaxes(0, 1),
    7: QUARTERS[::-1, ::-1].swapaxes(0, 1),
    8: QUARTERS.swapaxes(0, 1)[::-1],
}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif", "lzw.tif", "a.avif"])
def test_pictures_masks_and_sizes_are_turned_once(name: str, orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    options: dict[str, object] = {"compression": "tiff_lzw"} if name == "lzw.tif" else {"quality": 95}
    Image.fromarray(QUARTERS).save(tmp_path / name, exif=exif, **options)  # type: ignore[arg-type]
    want = TURNED[orientation].astype(int)
    for got in (read_image(tmp_path / name), np.asarray(open_picture(tmp_path / name))):
        assert got.shape == want.shape
        assert abs(got - want).mean() < 8
    assert picture_size(tmp_path / name) == want.shape[:2]


@pytest.mark.parametrize(
    "content",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n%%EOF\n",
        b"8BPS\x00\x01" + bytes(40),
        b"SIMPLE  =                    T" + b" " * 50 + b"END" + b" " * 2797,
        b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01;",
    ],
    ids=["EPS", "PSD", "FITS", "GIF"],
)
@pytest.mark.parametrize("name", ["x.png", "x.jpg"])
def test_other_formats_do_not_reach_their_parsers(
    content: bytes, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError(f"started {args}")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    (tmp_path / name).write_bytes(content)
    for read in (read_image, open_picture, picture_size):
        with pytest.raises(DataError, match=r"x\.\w+: not a picture \(JPEG, PNG, .* or AVIF expected\)$"):
            read(tmp_path / name)


def test_avif_is_read_and_a_broken_one_told(tmp_path: Path) -> None:
    assert ".avif" in PICTURE_SUFFIXES
    Image.fromarray(QUARTERS).save(tmp_path / "a.avif", quality=90)
    content = (tmp_path / "a.avif").read_bytes()
    assert read_image(tmp_path / "a.avif").shape == QUARTERS.shape
    for end in (20, 100, len(content) - 40):
        (tmp_path / "a.avif").write_bytes(content[:end])
        with pytest.raises(DataError, match=r"^\S+a\.avif: (broken picture|not a picture)[^\n]*$"):
            read_image(tmp_path / "a.avif")


def large(size: tuple[int, int], kind: str) -> bytes:
    content = BytesIO()
    Image.new("1", size).save(content, kind, **({"compression": "group4"} if kind == "TIFF" else {}))
    return content.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_small_file_of_many_pixels(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(large((13_600, 13_300), kind))  # More than twice Pillow's own limit.
    assert file.stat().st_size < 40_000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for read in (read_image, open_picture, picture_size):
            with pytest.raises(DataError, match=r"a\.png: 180880000 pixels .* DRIVABLE_MAX_PIXELS raises it"):
                read(file)
        monkeypatch.setenv("DRIVABLE_MAX_PIXELS", "200000000")
        assert open_picture(file).size == (13_600, 13_300)
        assert picture_size(file) == (13_300, 13_600)
    assert Image.MAX_IMAGE_PIXELS == 1024**3 // 12  # The host's, untouched.


def test_a_jpeg_of_many_pixels(tmp_path: Path) -> None:
    content = BytesIO()
    Image.new("L", (64, 64)).save(content, "JPEG")
    frame = content.getvalue().index(b"\xff\xc0")
    huge = bytearray(content.getvalue())
    huge[frame + 5 : frame + 9] = b"\xff\xdc\xff\xdc"  # Height and width of 65,500.
    (tmp_path / "a.jpg").write_bytes(huge)
    with pytest.raises(DataError, match="4290250000 pixels"):
        read_image(tmp_path / "a.jpg", (32, 32))


def test_a_jpeg_of_many_scans(tmp_path: Path) -> None:
    content = BytesIO()
    Image.new("L", (64, 64)).save(content, "JPEG", progressive=True)
    last = content.getvalue().rindex(b"\xff\xda")
    whole = content.getvalue()
    (tmp_path / "a.jpg").write_bytes(whole)
    assert read_image(tmp_path / "a.jpg").shape == (64, 64, 3)
    (tmp_path / "a.jpg").write_bytes(whole[:last] + 200 * whole[last:-2] + whole[-2:])
    with pytest.raises(DataError, match=r"a\.jpg: 205 scans, .*DRIVABLE_MAX_JPEG_SCANS"):
        read_image(tmp_path / "a.jpg")


def test_tiles_larger_than_their_tiff(tmp_path: Path) -> None:
    content = zlib.compress(bytes(100))
    width, length, bits, compression, photometric, samples = 256, 257, 258, 259, 262, 277
    tags = {width: 64, length: 64, bits: 8, compression: 8, photometric: 1, samples: 1}
    tags |= {322: 60_000, 323: 60_000, 324: 8 + 2 + 12 * 10 + 4, 325: len(content)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    header = b"II*\0" + struct.pack("<IH", 8, len(tags))
    (tmp_path / "a.tif").write_bytes(header + entries + bytes(4) + content)
    with pytest.raises(DataError, match="3600000000 pixels"):
        read_image(tmp_path / "a.tif")


def test_only_regular_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    (tmp_path / "folder.jpg").mkdir()
    for name in ("pipe", "zero", "loop", "folder"):
        for read in (read_image, open_picture, picture_size):
            with pytest.raises(DataError, match=rf"^\S+{name}\.jpg: broken picture: [^\n]+$"):
                read(tmp_path / f"{name}.jpg")
    with pytest.raises(DataError, match=r"gone\.jpg: no such picture"):
        read_image(tmp_path / "gone.jpg")


def test_a_file_full_of_holes(tmp_path: Path) -> None:
    with (tmp_path / "a.jpg").open("wb") as stream:
        stream.truncate(2**33)
    with pytest.raises(DataError, match=r"a\.jpg: 8589934592 bytes, more than .* DRIVABLE_MAX_FILE_BYTES"):
        read_image(tmp_path / "a.jpg")


IDS = MaskConvention("these ids", values={0: 0, 1: 1, 2: 2, 3: 3, 255: 255})
GREYS = MaskConvention("these greys", values={0: 1, 255: 0})


def test_one_bit_masks_hold_0_and_1(tmp_path: Path) -> None:
    pixels = np.array([[0, 1, 1, 0]], dtype=np.uint8)
    Image.fromarray(pixels.astype(bool)).save(tmp_path / "m.png", bits=1)
    assert IDS.decode(tmp_path / "m.png").tolist() == pixels.tolist()
    # Where 1 means nothing, black and white do.
    assert GREYS.decode(tmp_path / "m.png").tolist() == (1 - pixels).tolist()


@pytest.mark.parametrize("bits", [2, 4])
def test_greys_of_few_bits_are_numbers(bits: int, tmp_path: Path) -> None:
    (tmp_path / "m.png").write_bytes(grey_png([0, 1, 2, 3], bits))
    assert np.asarray(Image.open(tmp_path / "m.png")).max() == (255 if bits == 2 else 51)  # As Pillow shows them.
    assert IDS.decode(tmp_path / "m.png").tolist() == [[0, 1, 2, 3]]


def grey_png(row: list[int], bits: int) -> bytes:
    """A PNG of one row of greys of 2 or 4 bits, which Pillow does not write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packed = int("".join(f"{value:0{bits}b}" for value in row), 2).to_bytes(len(row) * bits // 8, "big")
    header = struct.pack(">IIBBBBB", len(row), 1, bits, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"\0" + packed)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
