"""Archives that would write elsewhere, over what is there, or without end."""

import bz2
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from drivable.curation.archives import unpack
from drivable.errors import DataError

Tar = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where to unpack."""
    place = tmp_path / "in" / "data"
    place.mkdir(parents=True)
    return place


@pytest.fixture
def make_tar(tmp_path: Path) -> Tar:
    """Write a tar of members: (name, content), or (name, type, target of the link)."""

    def make(*members: tuple[str, bytes] | tuple[str, bytes, str], compress: Callable[[bytes], bytes] = bytes) -> Path:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as packed:
            for name, content, *target in members:
                member = tarfile.TarInfo(name)
                if target:
                    member.type, member.linkname = content, target[0]
                else:
                    member.size = len(content)
                packed.addfile(member, None if target else io.BytesIO(content))
        path = tmp_path / "archive"
        path.write_bytes(compress(stream.getvalue()))
        return path

    return make


@pytest.fixture
def make_zip(tmp_path: Path) -> Callable[..., Path]:
    """Write a zip of files; with a mode as Unix keeps it."""

    def make(files: dict[str, bytes], mode: int = 0, method: int = zipfile.ZIP_STORED) -> Path:
        path = tmp_path / "archive"
        with zipfile.ZipFile(path, "w", method) as packed:
            for name, content in files.items():
                entry = zipfile.ZipInfo("x")
                entry.filename, entry.external_attr, entry.compress_type = name, mode << 16, method
                packed.writestr(entry, content)
        return path

    return make


def written(folder: Path) -> dict[str, bytes]:
    """Files below the folder that the test's own folder holds beside the archive."""
    root = folder.parent.parent
    assert not [path for path in root.rglob("*") if path.is_symlink()]
    return {
        str(path.relative_to(folder)) if folder in path.parents else f"OUTSIDE {path}": path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path != root / "archive"
    }


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_a_tar_in_any_compression(make_tar: Tar, folder: Path, compress: Callable[[bytes], bytes]) -> None:
    long = "d/" + "n" * 200
    archive = make_tar(
        ("./d", tarfile.DIRTYPE, ""), ("./d/a", b"x" * 100_000), ("d/é", b""), (long, b"y"), compress=compress
    )
    told: list[tuple[int, int]] = []
    unpack(archive, folder, lambda *done: told.append(done))
    assert written(folder) == {"d/a": b"x" * 100_000, "d/é": b"", long: b"y"}
    assert told[-1][1] == archive.stat().st_size
    assert not (folder / "d/a").stat().st_mode & 0o111


def test_a_zip(make_zip: Callable[..., Path], folder: Path) -> None:
    unpack(make_zip({"d/": b"", "d/a": b"x" * 100_000, "d/é": b""}, method=zipfile.ZIP_DEFLATED), folder)
    assert written(folder) == {"d/a": b"x" * 100_000, "d/é": b""}
    with pytest.raises(DataError, match="neither zip nor tar"):
        unpack(folder / "d/a", folder)


# Of the kind of CVE-2025-4517: a target too long to be followed when it is checked.
LONG = "/".join(["d" * 247] * 16)
CHAIN = [("escape", tarfile.SYMTYPE, f"{LONG}/{'../' * 17}.."), ("escape/outside", b"evil")]


@pytest.mark.parametrize(
    "members",
    [
        [("a", tarfile.SYMTYPE, "../../outside"), ("a", b"evil")],
        [("a", tarfile.SYMTYPE, ".."), ("a/outside", b"evil")],
        [("a", tarfile.SYMTYPE, "b")],
        [("a", tarfile.LNKTYPE, "../../archive")],
        [("a", tarfile.LNKTYPE, "a")],
        [("a", tarfile.FIFOTYPE, "")],
        [("a", tarfile.CHRTYPE, "")],
        [("a", tarfile.BLKTYPE, "")],
        [("a", b"Z", "")],
        CHAIN,
    ],
    ids=["link", "folder link", "inner link", "hard link", "to itself", "fifo", "device", "disk", "other", "chain"],
)  # fmt: skip
def test_nothing_but_files_and_folders(make_tar: Tar, folder: Path, members: list[tuple[str, bytes]]) -> None:
    with pytest.raises(DataError, match="is a (link|special file); files and folders are expected"):
        unpack(make_tar(("good", b"x"), *members), folder)
    assert set(written(folder)) <= {"good"}


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK, stat.S_IFDIR])
def test_nothing_but_files_and_folders_in_a_zip(make_zip: Callable[..., Path], folder: Path, mode: int) -> None:
    with pytest.raises(DataError, match="is a (link|special file); files and folders are expected"):
        unpack(make_zip({"a": b"/etc/hostname"}, mode | 0o777), folder)
    assert written(folder) == {}


NAMES = [
    "/outside", "../outside", "a/../../../outside", "..", "C:/outside", "c:outside", "..\\outside", "a\\b",
    "a\x1b[2J", "a\nb", "n" * 256, "",
]  # fmt: skip


@pytest.mark.parametrize("name", [*NAMES, "a\x00b"])
def test_names_in_a_zip(make_zip: Callable[..., Path], folder: Path, name: str) -> None:
    with pytest.raises(DataError) as fault:
        unpack(make_zip({name: b"evil"}), folder)
    assert "\x1b" not in str(fault.value)
    assert "\n" not in str(fault.value)
    assert written(folder) == {}


@pytest.mark.parametrize("name", NAMES)
def test_names_in_a_tar(make_tar: Tar, folder: Path, name: str) -> None:
    with pytest.raises(DataError):
        unpack(make_tar((name, b"evil")), folder)
    assert written(folder) == {}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "a"], "stands there twice"),
        (["a", "a/b"], "stands there twice"),
        (["a/b", "a"], "stands there twice"),
        (["a/b", "A/c"], "differs from 'a' by its case"),
        (["Road.png", "road.png"], "differs from 'Road.png' by its case"),
        (["\u00e9", "e\u0301"], "by its case"),
    ],
)
def test_names_that_meet(
    make_tar: Tar, make_zip: Callable[..., Path], folder: Path, names: list[str], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        unpack(make_tar(*((name, b"x") for name in names)), folder)
    assert len(written(folder)) == 1
    for path in folder.iterdir():
        path.rename(folder.parent / "moved")
    if len(set(names)) == len(names):
        with pytest.raises(DataError, match=message):
            unpack(make_zip(dict.fromkeys(names, b"x")), folder)


def test_a_folder_may_be_named_again(make_tar: Tar, folder: Path) -> None:
    directory = ("a", tarfile.DIRTYPE, "")
    unpack(make_tar(directory, ("a/b", b"x"), directory, ("a/c", b"y")), folder)
    assert set(written(folder)) == {"a/b", "a/c"}


def test_what_is_small_and_unpacks_to_much(
    make_tar: Tar, make_zip: Callable[..., Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivable.curation.archives._ALLOWANCE", 0)
    files = {"a": bytes(2**22), "b": b"x"}
    for archive in (
        make_tar(*files.items(), compress=gzip.compress),
        make_zip(files, method=zipfile.ZIP_DEFLATED),
        make_tar(("b", b"x"), compress=lambda packed: gzip.compress(packed + bytes(2**22))),
    ):
        with pytest.raises(DataError, match="unpacks to more than 100 times .* DRIVABLE_MAX_UNPACKED_RATIO raises it"):
            unpack(archive, folder)
        assert set(written(folder)) <= {"b"}
        for path in folder.iterdir():
            path.unlink()
    monkeypatch.setenv("DRIVABLE_MAX_UNPACKED_RATIO", "2000")
    unpack(make_zip(files, method=zipfile.ZIP_DEFLATED), folder)


def test_names_that_stand_for_many_folders(make_tar: Tar, folder: Path) -> None:
    deep = [(f"{k}/" + "d/" * 60 + "a", b"") for k in range(2500)]
    with pytest.raises(DataError, match="unpacks to more than 100 times"):
        unpack(make_tar(*deep, compress=gzip.compress), folder)
    with pytest.raises(DataError, match="lies in too many folders"):
        unpack(make_tar(("d/" * 80 + "a", b"")), folder)


def test_sizes_that_are_not_true(make_zip: Callable[..., Path], folder: Path) -> None:
    archive = make_zip({"a": bytes(100_000)}, method=zipfile.ZIP_DEFLATED)
    content = archive.read_bytes()
    for said in (10, 200_000):
        archive.write_bytes(content.replace(struct.pack("<L", 100_000), struct.pack("<L", said)))
        with pytest.raises(DataError, match="cannot be unpacked|another size"):
            unpack(archive, folder)
        assert (folder / "a").stat().st_size <= 100_000
        (folder / "a").unlink()


def test_a_header_that_asks_for_gigabytes(make_tar: Tar, folder: Path) -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 2**33
    archive = make_tar(("a", b"x"))
    archive.write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(2**21))
    with pytest.raises(DataError, match="cannot be unpacked"):
        unpack(archive, folder)
    assert written(folder) == {}


def test_an_archive_that_is_no_file(folder: Path) -> None:
    pipe = folder.parent / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(DataError, match="not a regular file"):
        unpack(pipe, folder)
