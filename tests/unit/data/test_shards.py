"""Shards, and data roots at remote addresses."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
import webdataset
from PIL import Image

from drivable.data import EpochSampler, RoadDataset, RoadLoader, open_data, select_split
from drivable.data.conversion import convert
from drivable.data.inspection import inspect
from drivable.data.pack import pack
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
    assert torch.equal(images, torch.stack([local[0, index]["images"] for index in range(8)]))


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
