"""Shards, and data roots at remote addresses."""

import json
import tarfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
import webdataset
from PIL import Image

from drivable.curation.conversion import convert
from drivable.curation.inspection import inspect
from drivable.curation.pack import pack
from drivable.data import EpochSampler, RoadDataset, RoadLoader, open_data, select_split
from drivable.errors import ConfigError, DataError

Make = Callable[..., Path]


@pytest.fixture
def source(make_bdd100k: Make) -> Path:
    root = make_bdd100k(ids=tuple("abcdefgh"))
    (root / "attributes.csv").write_text("id,weather\na,rainy\nb,clear\n")
    (root / "splits/mine").mkdir(parents=True)
    (root / "splits/mine/val.txt").write_text("c\nd\n")
    return root


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Everything below ``tmp_path``, over HTTP."""

    class Ranges(SimpleHTTPRequestHandler):
        """Answers requests for a part of a file, as buckets do."""

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            file, asked = Path(self.translate_path(self.path)), self.headers.get("Range")
            if asked is None or not file.is_file():
                super().do_GET()
                return
            first, last = asked.removeprefix("bytes=").split("-")
            content = file.read_bytes()
            part = content[int(first) : int(last) + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            self.wfile.write(part)

        def end_headers(self) -> None:
            self.send_header("Accept-Ranges", "bytes")
            super().end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Ranges, directory=str(tmp_path))) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def same(first: Path | str, second: Path | str) -> None:
    before, after = open_data(first), open_data(second)
    assert [s.id for s in before.all_samples] == [s.id for s in after.all_samples]
    for old, new in zip(before.all_samples, after.all_samples, strict=True):
        assert np.array_equal(old.image.read(), new.image.read())
        assert np.array_equal(old.label.read(), new.label.read())
    assert before.attributes == after.attributes
    assert [s.id for s in select_split(after, "val", "mine")] == ["c", "d"]


def test_shards_hold_the_same(source: Path, tmp_path: Path) -> None:
    assert pack(open_data(source), tmp_path / "packed", None, pairs_per_shard=3) == []
    shards = sorted(path.name for path in (tmp_path / "packed/shards").iterdir())
    assert shards == ["index.json", "train-000000.tar", "train-000001.tar", "train-000002.tar"]
    assert open_data(tmp_path / "packed").layout == "webdataset"
    same(source, tmp_path / "packed")
    # Without the index the tar files are looked through.
    (tmp_path / "packed/shards/index.json").unlink()
    same(source, tmp_path / "packed")
    assert all(found.kind == "blank-picture" for found in inspect(open_data(tmp_path / "packed")).faults)


def test_webdataset_itself_reads_them(source: Path, tmp_path: Path) -> None:
    pack(open_data(source), tmp_path / "packed", (18, 32), pairs_per_shard=3)
    tars = [str(path) for path in sorted((tmp_path / "packed/shards").glob("*.tar"))]
    reader = webdataset.WebDataset(tars, shardshuffle=False, empty_check=False).decode("rgb8")
    found = {entry["__key__"]: entry for entry in reader}
    assert sorted(found) == list("abcdefgh")
    assert list(found) != sorted(found)
    assert found["a"]["jpg"].shape == (18, 32, 3)
    assert found["a"]["json"] == {"weather": "rainy"}


def test_shards_of_other_classes_and_png_pictures(source: Path, tmp_path: Path) -> None:
    data = open_data(source, ids="current")
    convert(data, tmp_path / "arrays", "npy")
    (tmp_path / "arrays/labels.yaml").write_text(
        "names: [mine, other, rest]\ncolors: [[1, 2, 3], [4, 5, 6], [0, 0, 0]]\nbackground: rest\n"
    )
    pack(open_data(tmp_path / "arrays"), tmp_path / "packed", (36, 64), pairs_per_shard=100)
    packed = open_data(tmp_path / "packed")
    assert packed.labels.names == ("mine", "other", "rest")
    for old, new in zip(data.all_samples, packed.all_samples, strict=True):
        assert np.array_equal(old.label.read(), new.label.read())
    Image.new("RGB", (64, 36)).save(source / "images/100k/train/a.png")
    (source / "images/100k/train/a.jpg").unlink()
    pack(open_data(source), tmp_path / "original", None, pairs_per_shard=100)
    same(source, tmp_path / "original")


def test_a_shard_that_was_cut_off(source: Path, tmp_path: Path) -> None:
    pack(open_data(source), tmp_path / "packed", None, pairs_per_shard=100)
    (tmp_path / "packed/shards/index.json").unlink()
    tar = tmp_path / "packed/shards/train-000000.tar"
    tar.write_bytes(tar.read_bytes()[:1300])
    with pytest.raises(DataError, match=r"train-000000\.tar: not a readable tar file.*cut off"):
        open_data(tmp_path / "packed")


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_shard_without_its_end(form: int, tmp_path: Path) -> None:
    tar = tmp_path / "shards/train-000000.tar"
    tar.parent.mkdir()
    with tarfile.open(tar, "w", format=form) as packed:
        for name in ("a.jpg", "a.png", "b.jpg", "b.png"):
            packed.addfile(tarfile.TarInfo(name))
    whole = tar.read_bytes()
    tar.write_bytes(whole[: 5 * 512])  # One block of zeros is an end.
    assert len(open_data(tmp_path, confirmed=False).all_samples) == 2
    for num_bytes in (2 * 512, 2 * 512 + 100, 4 * 512, 4 * 512 + 511):
        tar.write_bytes(whole[:num_bytes])
        with pytest.raises(DataError, match=r"train-000000\.tar: no member and no end after '.\.png'.*cut off"):
            open_data(tmp_path, confirmed=False)
    tar.write_bytes(whole[: 2 * 512] + b"x" * 512 + whole[3 * 512 :])  # The head of b.jpg.
    with pytest.raises(DataError, match="no member and no end after 'a.png'"):
        open_data(tmp_path, confirmed=False)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (["a.jpg", -1, 5], "expected a name, a place and a length"),
        (["a.jpg", 0, -5], "expected a name, a place and a length"),
        (["a.jpg", 0, 2**60], r"index.json: 'a.jpg' ends at byte 1152921504606846976 of train-000000.tar, which has"),
        (["a.jpg", 10**9, 5], "ends at byte 1000000005"),
        (["a.jpg", 1.5, 5], "expected a name"),
        (["a.jpg", True, 5], "expected a name"),
        (["a.jpg", 5], "not a readable index"),
        ([None, 0, 5], "expected a name"),
        (["x\\y.jpg", 0, 5], "image id .*expected a file name"),
        ("abc", "expected a name"),
    ],
)
def test_an_index_that_lies(source: Path, tmp_path: Path, entry: object, message: str) -> None:
    pack(open_data(source), tmp_path / "packed", None, pairs_per_shard=100)
    (tmp_path / "packed/shards/index.json").write_text(json.dumps({"train-000000.tar": [entry]}))
    with pytest.raises(DataError, match=message):
        open_data(tmp_path / "packed")


def write_tar(file: Path, *members: tuple[str, bytes], **changes: object) -> None:
    """Members of a tar file, attributes of the last one's head changed."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, BytesIO(content))
    if changes:
        head = tarfile.TarInfo(members[-1][0])
        for key, value in changes.items():
            setattr(head, key, value)
        whole = file.read_bytes()
        place = whole.rindex(members[-1][0].encode())
        new = head.tobuf(tarfile.PAX_FORMAT if "pax_headers" in changes else tarfile.GNU_FORMAT)
        file.write_bytes(whole[:place] + new + whole[place + 512 :])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 2**40}, "not a readable tar file.*was its copy cut off"),
        ({"size": -1024}, "has no place of its own|not a readable tar file"),
        ({"pax_headers": {"size": "-1536"}}, "has no place of its own|not a readable tar file"),
        ({"pax_headers": {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "0,5",
                          "GNU.sparse.size": "5"}, "size": 5}, "is stored with holes"),
    ],
)  # fmt: skip
def test_tar_files_that_lie(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    write_tar(tmp_path / "shards/train-000000.tar", ("a.jpg", b"12345"), ("a.png", b"12345"), **changes)
    with pytest.raises(DataError, match=message) as fault:
        open_data(tmp_path)
    assert "train-000000.tar" in str(fault.value)


def test_compressed_tar_files_are_no_shards(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    with tarfile.open(tmp_path / "shards/train-000000.tar", "w:gz"):
        pass
    with pytest.raises(DataError, match="not a readable tar file"):
        open_data(tmp_path)


def test_a_sample_that_is_there_twice(source: Path, tmp_path: Path) -> None:
    pack(open_data(source), tmp_path / "packed", None, pairs_per_shard=100)
    shards = tmp_path / "packed/shards"
    (shards / "train-000001.tar").write_bytes((shards / "train-000000.tar").read_bytes())
    with pytest.raises(DataError, match=r"train-000001.tar: '.' is in train-000000.tar too"):
        open_data(tmp_path / "packed")


@pytest.mark.parametrize("text", ["\ud800", "x" * 10_001])
def test_attributes_that_no_table_holds(text: str, tmp_path: Path) -> None:
    members = [("a.jpg", b""), ("a.png", b""), ("a.json", json.dumps({"weather": text}).encode())]
    write_tar(tmp_path / "shards/train-000000.tar", *members)
    with pytest.raises(DataError, match=r"train-000000\.tar/a\.json: attribute 'weather'"):
        open_data(tmp_path, confirmed=False)


@pytest.mark.parametrize("name", ["..-000000.tar", "a\nb-000000.tar"])
def test_shards_whose_name_is_no_split(name: str, source: Path, tmp_path: Path) -> None:
    pack(open_data(source), tmp_path / "packed", None, pairs_per_shard=100)
    shard = next((tmp_path / "packed/shards").glob("*.tar"))
    shard.rename(shard.with_name(name))
    (tmp_path / "packed/shards/index.json").unlink()
    with pytest.raises(DataError, match="split '.*': expected a file name"):
        open_data(tmp_path / "packed")


@pytest.mark.parametrize("name", ["../x", "..", "/x", "a\\b"])
def test_arrays_whose_ids_are_no_names(name: str, source: Path, tmp_path: Path) -> None:
    convert(open_data(source), tmp_path / "arrays", "npy")
    ids = tmp_path / "arrays/ids.txt"
    ids.write_text(ids.read_text().replace("a\n", f"{name}\n", 1))
    with pytest.raises(DataError, match=r"ids\.txt: image id '.*': expected a file name"):
        open_data(tmp_path / "arrays")


def test_names_with_dots_have_no_place_in_shards(make_bdd100k: Make, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'a\.b'"):
        pack(open_data(make_bdd100k(ids=("a.b", "c", "d"))), tmp_path / "packed", None, pairs_per_shard=5)
    assert not (tmp_path / "packed").exists()


@pytest.mark.parametrize("shards", [None, 3])
def test_a_training_reads_over_http(source: Path, tmp_path: Path, server: str, shards: int | None) -> None:
    pack(open_data(source), tmp_path / "packed", None, pairs_per_shard=shards)
    same(source, f"{server}/packed")
    dataset = RoadDataset(open_data(f"{server}/packed").all_samples, (36, 64))
    loader = RoadLoader(dataset, 4, EpochSampler(len(dataset), seed=0, shuffle=False), num_workers=1)
    local = RoadDataset(open_data(source).all_samples, (36, 64))
    images = torch.cat([batch["images"] for batch in loader])
    assert torch.equal(images, torch.stack([local[0, index, 0]["images"] for index in range(8)]))


def test_a_bucket(source: Path) -> None:
    bucket = fsspec.filesystem("memory")
    bucket.put(str(source), "/bucket/roads", recursive=True)
    try:
        same(source, "memory://bucket/roads")
    finally:
        bucket.rm("/bucket", recursive=True)


def test_addresses_that_lead_nowhere(server: str) -> None:
    with pytest.raises(DataError, match="no such data folder"):
        open_data(f"{server}/nowhere")
    with pytest.raises(ConfigError, match="nonsense"):
        open_data("nonsense://roads")
