"""``drivable data fetch`` against a server of our own that has every fault a server can have."""

import base64
import contextlib
import hashlib
import io
import json
import re
import shutil
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import numpy as np
import pytest

from drivable import progress
from drivable.cli.main import main
from drivable.curation import fetch as engine
from drivable.curation.fetch import ACCOUNT_SETS, FETCHABLE_SETS, fetch_set
from drivable.errors import ConfigError, DataError, OutputError

Run = Callable[..., tuple[int, str, str]]
# Does not compress, so that a connection can drop in the middle of it.
NOISE = np.random.default_rng(0).integers(0, 256, 400_000, dtype=np.uint8).tobytes()
FILES = {"camvid/labels/a_P.png": b"mask", "camvid/images/a.png": NOISE, "camvid/codes.txt": b"Road"}


def packed_tar(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def packed_zip(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


ARCHIVE = packed_tar(FILES)


@dataclass
class Server:
    """What the server does, and what it was asked."""

    body: bytes = ARCHIVE
    etag: str | None = '"one"'
    knows_range: bool = True
    knows_if_range: bool = True
    says_length: bool = True
    # Bytes of the next replies after which the connection drops, and their statuses where they are errors.
    drops: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    url: str = ""
    # Where a request is sent instead; seconds between the single bytes of a reply and, if so, of its head.
    leads_to: str = ""
    trickle_s: float = 0.0
    trickles_head: bool = False

    def reply(self, request: BaseHTTPRequestHandler) -> None:
        asked = dict(request.headers.items())
        self.asked.append(asked)
        if self.statuses:
            return request.send_error(self.statuses.pop(0))
        if self.leads_to:
            request.send_response(302)
            request.send_header("Location", self.leads_to)
            request.send_header("Content-Length", "0")
            return request.end_headers()
        if self.trickles_head:
            return self.trickle(request, b"HTTP/1.0 200 OK\r\n")
        wanted = re.fullmatch(r"bytes=(\d+)-", asked.get("Range", ""))
        same = not self.knows_if_range or asked.get("If-Range") == self.etag
        start = int(wanted[1]) if wanted and self.knows_range and same else 0
        if wanted and start >= len(self.body):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(self.body)}")
            request.send_header("Content-Length", "0")
            return request.end_headers()
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(self.body) - 1}/{len(self.body)}")
        if self.says_length:
            request.send_header("Content-Length", str(len(self.body) - start))
        if self.etag:
            request.send_header("ETag", self.etag)
        request.end_headers()
        if self.trickle_s:
            return self.trickle(request, self.body)
        end = start + self.drops.pop(0) if self.drops else None
        with contextlib.suppress(ConnectionError):  # Of one who has seen enough.
            request.wfile.write(self.body[start:end])
        return None

    def trickle(self, request: BaseHTTPRequestHandler, content: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            for byte in content:
                request.wfile.write(bytes([byte]))
                time.sleep(self.trickle_s)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server of one archive, which is also what the set camvid is."""
    served = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.reply(self)

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{http.server_port}/camvid.tgz"
    known = replace(FETCHABLE_SETS["camvid"], url=served.url, num_bytes=None, digest=None)
    monkeypatch.setattr(engine, "FETCHABLE_SETS", {**FETCHABLE_SETS, "camvid": known})
    monkeypatch.setattr(engine, "PAUSE_S", 0.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield served
    http.shutdown()
    http.server_close()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``drivable data fetch``: exit code, standard output, standard error."""

    def command(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["drivable", "data", "fetch", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


def is_whole(out: Path) -> bool:
    """Whether the set is there, and nothing else."""
    found = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    return found == FILES and [path.name for path in out.iterdir()] == ["camvid"]


def publish(monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    """Change what is published of the set camvid."""
    known = replace(engine.FETCHABLE_SETS["camvid"], **changes)  # type: ignore[arg-type]
    monkeypatch.setattr(engine, "FETCHABLE_SETS", {"camvid": known})


def stopped_halfway(server: Server, out: Path) -> None:
    """Leave 100,000 bytes of a download whose every connection dropped."""
    server.drops = [100_000, 0, 0, 0]
    with pytest.raises(DataError, match="run the same command again to continue"):
        fetch_set("camvid", out)
    assert (out / "camvid.part").stat().st_size == 100_000
    assert not (out / "camvid").exists()
    server.asked.clear()


def test_fetched_and_then_left_alone(run: Run, server: Server, tmp_path: Path) -> None:
    code, out, err = run("camvid", "--out", tmp_path / "data", "--json", tmp_path / "f.json")
    assert (code, err) == (0, "")
    assert is_whole(tmp_path / "data")
    sha256 = hashlib.sha256(ARCHIVE).hexdigest()
    assert sha256 in out
    assert "ask to be cited" in out
    said = json.loads((tmp_path / "f.json").read_text())
    assert (said["sha256"], said["num_bytes"], said["was_there"]) == (sha256, len(ARCHIVE), False)
    code, out, _ = run("camvid", "--out", tmp_path / "data")
    assert (code, "is there already" in out, len(server.asked)) == (0, True, 1)
    assert is_whole(tmp_path / "data")


def test_a_dropped_connection_is_continued_at_once(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.drops = [150_000, 100_000]
    fetch_set("camvid", tmp_path, sha256=hashlib.sha256(ARCHIVE).hexdigest())
    assert is_whole(tmp_path)
    assert [asked.get("Range") for asked in server.asked] == [None, "bytes=150000-", "bytes=250000-"]
    assert "dropped after 150000 of" in caplog.text


def test_a_stopped_download_is_continued_by_the_next_command(server: Server, tmp_path: Path) -> None:
    stopped_halfway(server, tmp_path)
    seen: list[tuple[str, int, int | None]] = []
    fetch_set("camvid", tmp_path, report=lambda *progress: seen.append(progress))
    assert is_whole(tmp_path)
    assert (server.asked[0]["Range"], server.asked[0]["If-Range"]) == ("bytes=100000-", '"one"')
    assert seen[0] == ("downloading", 100_000, len(ARCHIVE))
    assert ("downloading", len(ARCHIVE), len(ARCHIVE)) in seen
    assert seen[-1][0] == "unpacking"


def test_off_a_terminal_a_long_download_says_how_far_it_is(
    run: Run, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.body = packed_tar({**FILES, "camvid/images/a.png": NOISE * (3 * 2**20 // len(NOISE))})
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    total = len(server.body) >> 20
    code, _, err = run("camvid", "--out", tmp_path)
    assert code == 0
    assert f"downloading camvid, MiB: {total} of {total} (100 %), " in err
    assert "unpacking camvid, MiB: " in err


@pytest.mark.parametrize("change", ["range unknown", "if-range unknown", "file changed", "other address", "no record"])
def test_bytes_of_two_files_never_meet(server: Server, tmp_path: Path, change: str) -> None:
    stopped_halfway(server, tmp_path)
    url = server.url
    server.body = packed_tar({**FILES, "camvid/images/a.png": NOISE[::-1]})
    server.etag = '"two"'
    if change == "range unknown":
        server.knows_range = False
    elif change == "if-range unknown":
        server.knows_if_range = False
    elif change == "other address":
        server.etag, url = '"one"', server.url + "?other"
    elif change == "no record":
        (tmp_path / "camvid.part.json").unlink()
    seen: list[tuple[str, int, int | None]] = []
    fetch_set("camvid", tmp_path, url, report=lambda *progress: seen.append(progress))
    assert (tmp_path / "camvid/images/a.png").read_bytes() == NOISE[::-1]
    assert seen[0] == ("downloading", 0, len(server.body))


def test_without_a_validator_it_starts_again(run: Run, server: Server, tmp_path: Path) -> None:
    server.etag, server.drops = 'W/"weak"', [100_000, 0, 0, 100_000]
    code, _, err = run("camvid", "--out", tmp_path)
    assert (code, "run the same command again to start again" in err) == (1, True)
    assert run("camvid", "--out", tmp_path)[0] == 0
    assert is_whole(tmp_path)
    assert not any("Range" in asked for asked in server.asked)


def test_a_whole_file_nobody_recorded_as_whole(server: Server, tmp_path: Path) -> None:
    stopped_halfway(server, tmp_path)
    record = tmp_path / "camvid.part.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "num_bytes": None}))
    (tmp_path / "camvid.part").write_bytes(ARCHIVE)
    fetch_set("camvid", tmp_path)
    assert is_whole(tmp_path)
    assert len(server.asked) == 1


def test_more_bytes_than_the_server_has(server: Server, tmp_path: Path) -> None:
    stopped_halfway(server, tmp_path)
    (tmp_path / "camvid.part").write_bytes(ARCHIVE + b"more")
    fetch_set("camvid", tmp_path)
    assert is_whole(tmp_path)
    assert [asked.get("Range") for asked in server.asked] == [f"bytes={len(ARCHIVE) + 4}-", None]


def test_unpacking_again_needs_no_download(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.says_length, server.etag = False, None

    def full(*_: object) -> None:
        raise OutputError("full")

    with monkeypatch.context() as patch, pytest.raises(OutputError, match="full"):
        patch.setattr(engine, "_unpack", full)
        fetch_set("camvid", tmp_path)
    assert fetch_set("camvid", tmp_path).num_bytes == len(ARCHIVE)
    assert is_whole(tmp_path)
    assert len(server.asked) == 1


def test_a_wrong_digest_leaves_nothing(run: Run, server: Server, tmp_path: Path) -> None:
    code, out, err = run("camvid", "--out", tmp_path, "--sha256", "0" * 64)
    assert (code, out) == (1, "")
    assert f"got sha256 {hashlib.sha256(ARCHIVE).hexdigest()}, expected {'0' * 64}" in err
    assert len(err.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
    assert len(server.asked) == 1


@pytest.mark.parametrize(("kind", "hashed"), [("md5", None), ("md5-of-first-mib", 2**20)])
def test_published_digests(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, hashed: int | None
) -> None:
    files = {**FILES, "camvid/images/b.png": NOISE * 3}
    server.body = packed_tar(files, "w:")
    md5 = hashlib.md5(server.body[:hashed]).hexdigest()
    publish(monkeypatch, num_bytes=len(server.body), digest=f"{kind}:{md5}")
    fetch_set("camvid", tmp_path, url=server.url + "?mirror")
    assert (tmp_path / "camvid/images/b.png").read_bytes() == NOISE * 3
    shutil.rmtree(tmp_path / "camvid")
    server.body = server.body[:1000] + b"?" + server.body[1001:]
    with pytest.raises(DataError, match=f"got {kind} .*, expected {md5}; the download was removed"):
        fetch_set("camvid", tmp_path)
    assert list(tmp_path.iterdir()) == []
    # What the user expects stands instead of what is published.
    fetch_set("camvid", tmp_path, sha256=hashlib.sha256(server.body).hexdigest())


def test_another_size_is_noticed_before_the_download(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, num_bytes=5)
    with pytest.raises(DataError, match=f"{len(ARCHIVE)} bytes, expected 5"):
        fetch_set("camvid", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_errors_of_the_server(run: Run, server: Server, tmp_path: Path) -> None:
    server.statuses = [404]
    code, _, err = run("camvid", "--out", tmp_path)
    assert (code, "the server answers 404 Not Found" in err, len(server.asked)) == (1, True, 1)
    server.statuses = [503, 429]
    assert run("camvid", "--out", tmp_path)[0] == 0
    assert is_whole(tmp_path)


def test_no_server(run: Run, server: Server, tmp_path: Path) -> None:
    code, _, err = run("camvid", "--out", tmp_path, "--url", "http://127.0.0.1:9/x")
    assert (code, "no connection" in err, "run the same command again" in err) == (1, True, True)


def test_too_small_a_disk(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=len(ARCHIVE) * 2 - 1))
    with pytest.raises(OutputError, match="MB free"):
        fetch_set("camvid", tmp_path)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=len(ARCHIVE) * 2))
    fetch_set("camvid", tmp_path)


@pytest.mark.parametrize("pack", [packed_tar, packed_zip])
@pytest.mark.parametrize("name", ["../outside.txt", "camvid/../../outside.txt"])
def test_an_archive_that_reaches_outside(
    server: Server, tmp_path: Path, pack: Callable[[dict[str, bytes]], bytes], name: str
) -> None:
    server.body = pack({**FILES, name: b"evil"})
    with pytest.raises(DataError, match="outside"):
        fetch_set("camvid", tmp_path / "data")
    assert list(tmp_path.rglob("*")) == [tmp_path / "data"]


def flipped(body: bytes) -> bytes:
    """Damage the noise, which both formats store as it is."""
    at = len(body) // 2
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (flipped(ARCHIVE), "cannot be unpacked: CRC check failed"),
        (flipped(packed_zip(FILES)), "cannot be unpacked: Bad CRC-32"),
        (ARCHIVE[:-5000], "cannot be unpacked"),
        (b"<!DOCTYPE html><title>Sign in</title>", "neither zip nor tar, begins with b'<!DOCTYPE html>"),
        (packed_zip({"other/readme.txt": b"x"}), "no folder labels/ in the archive"),
    ],
    ids=["tgz damaged", "zip damaged", "truncated", "a page", "another set"],
)
def test_not_the_archive_it_should_be(server: Server, tmp_path: Path, body: bytes, message: str) -> None:
    server.body = body
    with pytest.raises(DataError) as fault:
        fetch_set("camvid", tmp_path)
    assert message in str(fault.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "files",
    [
        FILES,
        {name.removeprefix("camvid/"): content for name, content in FILES.items()},
        {**FILES, "._camvid": b"", "__MACOSX/x": b""},
    ],
    ids=["in a folder", "bare", "packed on macOS"],
)
def test_zip_with_and_without_a_folder_around(server: Server, tmp_path: Path, files: dict[str, bytes]) -> None:
    server.body = packed_zip(files)
    fetch_set("camvid", tmp_path)
    assert is_whole(tmp_path)


def test_other_addresses(run: Run, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "mirror.tgz"
    archive.write_bytes(ARCHIVE)
    monkeypatch.setenv("DRIVABLE_FETCH_CAMVID_URL", archive.as_uri())
    assert run("camvid", "--out", tmp_path / "one")[0] == 0
    assert is_whole(tmp_path / "one")
    assert server.asked == []
    assert run("camvid", "--out", tmp_path / "two", "--url", server.url)[0] == 0
    assert len(server.asked) == 1
    code, _, err = run("camvid", "--out", tmp_path / "three", "--url", (tmp_path / "none.tgz").as_uri())
    assert (code, "cannot be read" in err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["camvit"], "did you mean 'camvid'"),
        (["camvid", "--url", "ftp://host/x.zip"], "expected one that begins with"),
        (["camvid", "--sha256", "abc"], "expected 64 hexadecimal digits"),
        (["bdd100k", "--url", "http://host/x.zip"], "needs an account"),
    ],
)
def test_wrong_use(run: Run, tmp_path: Path, arguments: list[str], message: str) -> None:
    code, out, err = run(*arguments, "--out", tmp_path / "data")
    assert (code, out, message in err) == (2, "", True)
    assert list(tmp_path.iterdir()) == []
    if arguments == ["camvit"]:
        assert "bdd100k" in err


def test_a_folder_of_something_else_is_left_alone(server: Server, tmp_path: Path) -> None:
    (tmp_path / "camvid").mkdir()
    (tmp_path / "camvid/mine.txt").touch()
    with pytest.raises(OutputError, match="not an empty folder; move it away"):
        fetch_set("camvid", tmp_path)
    assert server.asked == []
    with pytest.raises(ConfigError, match="needs an account"):
        fetch_set("cityscapes", tmp_path)


@pytest.mark.parametrize("name", ACCOUNT_SETS)
def test_sets_that_need_an_account(run: Run, tmp_path: Path, name: str) -> None:
    code, out, err = run(name, "--out", tmp_path)
    assert (code, "not there yet" in err) == (1, True)
    for word in (ACCOUNT_SETS[name].page, *ACCOUNT_SETS[name].files, str(tmp_path / name)):
        assert word in out
    (tmp_path / name).mkdir()
    (tmp_path / name / "packed.zip").touch()
    code, out, err = run(name, "--out", tmp_path)
    assert (code, "packed.zip" in err, ACCOUNT_SETS[name].page in out) == (1, True, True)


def test_a_set_downloaded_by_hand_is_checked(run: Run, make_bdd100k: Callable[..., Path], tmp_path: Path) -> None:
    make_bdd100k()
    code, out, err = run("bdd100k", "--out", tmp_path, "--json", tmp_path / "f.json")
    assert (code, err) == (0, "")
    assert "bdd100k-masks" in out
    assert "train 3" in out
    assert json.loads((tmp_path / "f.json").read_text())["num_pairs"] == {"train": 3}


def test_help_names_every_set(run: Run) -> None:
    _, out, _ = run("--help")
    assert all(name in out for name in (*FETCHABLE_SETS, *ACCOUNT_SETS))


def test_a_server_that_says_no_length_is_held_to_the_published_size(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, num_bytes=100_000)
    server.says_length = False
    with pytest.raises(DataError, match="more than the 100000 bytes that it should have"):
        fetch_set("camvid", tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert len(server.asked) == 1


def test_without_any_length_the_disk_is_not_filled(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.says_length = False
    free = iter(range(engine.RESERVE_BYTES + 100_000, 0, -(2**16)))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=next(free)))
    with pytest.raises(OutputError, match="MB free"):
        fetch_set("camvid", tmp_path)
    assert (tmp_path / "camvid.part").stat().st_size < len(ARCHIVE)


def test_a_download_of_unknown_size_ends_at_a_limit(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.says_length = False
    monkeypatch.setenv("DRIVABLE_MAX_DOWNLOAD_BYTES", "100000")
    with pytest.raises(DataError, match="more than the limit of 100000; DRIVABLE_MAX_DOWNLOAD_BYTES raises it"):
        fetch_set("camvid", tmp_path, sha256="0" * 64)
    assert (tmp_path / "camvid.part").stat().st_size <= 100_000


@pytest.mark.parametrize("of_head", [False, True], ids=["body", "head"])
def test_a_server_that_trickles_is_given_up(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of_head: bool
) -> None:
    monkeypatch.setattr(engine, "WINDOW_S", 0.3)
    monkeypatch.setattr(engine, "NUM_TRIES", 2)
    server.trickle_s, server.trickles_head = 0.05, of_head
    before = time.monotonic()
    with pytest.raises(DataError, match="no connection" if of_head else r"only \d+ bytes came in 0 seconds"):
        fetch_set("camvid", tmp_path)
    assert time.monotonic() - before < 10
    assert len(server.asked) == 2


def test_a_file_that_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a regular file"):
        fetch_set("camvid", tmp_path, "file:///dev/zero")


SECRETS = ("anna", "pass-word", "0a1b2c")


@pytest.mark.parametrize("then", ["fetched", "refused", "dropped", "elsewhere"])
def test_credentials_are_sent_and_not_told(
    run: Run, server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture, then: str
) -> None:
    address = server.url.replace("://", "://anna:pass-word@") + "?X-Amz-Signature=0a1b2c&sig=0a1b2c"
    if then == "refused":
        server.statuses = [401]
    elif then == "dropped":
        server.drops = [100_000, 0, 0, 0]
    elif then == "elsewhere":
        server.leads_to = "ftp://anna:pass-word@host/x?sig=0a1b2c"
    code, out, err = run("camvid", "--out", tmp_path / "data", "--url", address, "--json", tmp_path / "f.json")
    assert code == (then != "fetched")
    assert server.asked[0]["Authorization"] == f"Basic {base64.b64encode(b'anna:pass-word').decode()}"
    kept = "".join(path.read_text() for path in tmp_path.rglob("*.json"))
    assert kept or then not in ("fetched", "dropped")
    assert "***" in out + err
    for secret in SECRETS:
        assert secret not in out + err + caplog.text + kept
    if then == "dropped":
        # Another password, the same file.
        run("camvid", "--out", tmp_path / "data", "--url", address.replace("pass-word", "other"))
        assert server.asked[-1]["Range"] == "bytes=100000-"


@pytest.mark.parametrize(
    "address", ["ftp://anna:pass-word@h/x", "http://anna:pass-word@h:0a1b2c/x", "http://anna:pass-word@[/x"]
)
def test_credentials_of_wrong_addresses_are_not_told(run: Run, tmp_path: Path, address: str) -> None:
    code, out, err = run("camvid", "--out", tmp_path, "--url", address)
    assert (code, out) == (2, "")
    assert not any(secret in err for secret in SECRETS[:2])
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://host/x", "data:,x", "gopher://host/"])
def test_other_kinds_of_addresses_are_not_followed(server: Server, tmp_path: Path, target: str) -> None:
    server.leads_to = target
    with pytest.raises(DataError, match="which is not followed|is not allowed"):
        fetch_set("camvid", tmp_path)
    assert len(server.asked) == 1


def test_a_password_is_not_sent_elsewhere(server: Server, tmp_path: Path) -> None:
    other = server.url.replace("127.0.0.1", "localhost")

    def reply(request: BaseHTTPRequestHandler) -> None:
        server.leads_to = "" if server.asked else other
        Server.reply(server, request)

    server.reply = reply  # type: ignore[method-assign]
    fetch_set("camvid", tmp_path, server.url.replace("://", "://anna:pass-word@"))
    assert is_whole(tmp_path)
    assert ["Authorization" in asked for asked in server.asked] == [True, False]
