"""Any bytes and any members as an archive: nothing is written outside, and only our errors come."""

import gzip
import io
import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from drivable.curation.archives import unpack
from drivable.errors import DataError, OutputError

NAMES = st.one_of(
    st.sampled_from(
        [
            "a",
            "A",
            "a/b",
            "a/",
            "./a",
            "../a",
            "a/../../b",
            "/tmp/a",
            "..",
            ".",
            "",
            "C:/a",
            "a\\b",
            "\x1b[2J",
            "n" * 300,
        ]
    ),
    st.text(max_size=12).map(lambda text: text.encode("utf-8", "ignore").decode()),
)
LINKS = st.sampled_from(["..", "../..", "/", "a", "a/b", "../outside"])
KINDS = st.sampled_from(
    [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE,
     tarfile.GNUTYPE_SPARSE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, b"Z"]
)  # fmt: skip
MODES = st.sampled_from([0, 0o100644, 0o120777, 0o040755, 0o010644])
CONTENT = st.binary(max_size=40)
# Where to change the bytes of an archive, and to what; where to cut it off.
CHANGES = st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=6)
CUT = st.one_of(st.none(), st.integers(0, 4000))


def tar_of(members: list[tuple[str, bytes, str, bytes]]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as packed:
        for name, kind, target, content in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, target, len(content)
            packed.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def zip_of(members: list[tuple[str, bytes, int, bool]]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        for name, content, mode, is_small in members:
            entry = zipfile.ZipInfo("x")
            entry.filename, entry.external_attr = name, mode << 16
            entry.compress_type = zipfile.ZIP_DEFLATED if is_small else zipfile.ZIP_STORED
            packed.writestr(entry, content)
    return stream.getvalue()


def changed(content: bytes, changes: list[tuple[int, int]], cut: int | None) -> bytes:
    data = bytearray(content)
    for place, value in changes:
        if data:
            data[place % len(data)] = value
    return bytes(data[:cut])


def unpacked_stays_inside(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        (root / "outside").write_bytes(b"mine")
        (root / "archive").write_bytes(content)
        folder = root / "in"
        folder.mkdir()
        told = ""
        try:
            unpack(root / "archive", folder)
        except (DataError, OutputError) as fault:
            told = str(fault)
        assert len(told.splitlines()) <= 1
        assert sorted(path.name for path in root.iterdir()) == ["archive", "in", "outside"]
        assert (root / "outside").read_bytes() == b"mine"
        for path in folder.rglob("*"):
            assert not path.is_symlink()
            assert path.is_dir() or (path.is_file() and path.stat().st_nlink == 1)
        shutil.rmtree(folder)


@given(st.lists(st.tuples(NAMES, KINDS, LINKS, CONTENT), max_size=5), CHANGES, CUT, st.booleans())
def test_tar(
    members: list[tuple[str, bytes, str, bytes]], changes: list[tuple[int, int]], cut: int | None, gz: bool
) -> None:
    content = changed(tar_of(members), changes, cut)
    unpacked_stays_inside(gzip.compress(content, 1) if gz else content)


@given(
    st.lists(st.tuples(NAMES, CONTENT, MODES, st.booleans()), max_size=5, unique_by=lambda member: member[0]),
    CHANGES,
    CUT,
)
def test_zip(members: list[tuple[str, bytes, int, bool]], changes: list[tuple[int, int]], cut: int | None) -> None:
    unpacked_stays_inside(changed(zip_of(members), changes, cut))


@given(
    st.sampled_from([b"", b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\x00", b"PK\x03\x04", b"PK\x05\x06"]),
    st.binary(max_size=600),
)
def test_any_bytes(begin: bytes, rest: bytes) -> None:
    unpacked_stays_inside(begin + rest)
