"""Data sets from the network: fetched where anybody may, explained where an account is needed.

A download stands in ``<name>.part`` beside its destination until it is whole, checked and unpacked, with what is known
of it in ``<name>.part.json``; the same call after an interruption continues it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import re
import shutil
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPSConnection, InvalidURL
from pathlib import Path
from threading import Timer
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from drivable.curation.archives import require_space, unpack
from drivable.errors import ConfigError, DataError, OutputError, nearest_match, one_line, shown_address
from drivable.files import make_folder, refuse_used, write_json, written_whole
from drivable.reading import check_limit, reading, require_regular

_log = logging.getLogger(__name__)

# Told of the work ("downloading" or "unpacking"), its bytes so far, and of how many where that is known.
Report = Callable[[str, int, int | None], None]

NUM_TRIES = 4
PAUSE_S = 1.0
# A server that sends less than so many bytes a second, over so long, is given up.
LEAST_RATE = 1024
WINDOW_S = 60.0
# Left free on the disk where nobody says how large the archive is.
RESERVE_BYTES = 2**30
_TIMEOUT_S = 30
_CHUNK = 2**16
_FIRST_MIB = "md5-of-first-mib"


@dataclass(frozen=True)
class FetchableSet:
    """A data set that anybody may download.

    Args:
        name: what the command calls it, and its folder.
        url: the archive, .zip or .tar in any compression.
        num_bytes: size of the archive, where it is published.
        digest: the archive's published digest, ``md5:...``, ``sha256:...`` or ``md5-of-first-mib:...``.
        licence: what its authors say of its use.
        holds: a folder of the unpacked set, by which it is known to be there.
        home: its page.
    """

    name: str
    url: str
    num_bytes: int | None
    digest: str | None
    licence: str
    holds: str
    home: str


@dataclass(frozen=True)
class AccountSet:
    """A data set whose download needs an account.

    Args:
        name: what the command calls it, and its folder.
        page: where its files are to be had.
        files: which of them.
        places: what must stand below its folder.
        licence: what its authors say of its use.
    """

    name: str
    page: str
    files: tuple[str, ...]
    places: tuple[str, ...]
    licence: str


@dataclass(frozen=True)
class Fetched:
    """What became of a call; address, size and sha256 are of the archive, ``None`` where the set was there already."""

    name: str
    path: Path
    url: str | None = None
    num_bytes: int | None = None
    sha256: str | None = None


_CAMVID = {
    "licence": "none published; its authors ask to be cited (Brostow et al., ECCV 2008)",
    "holds": "labels",
    "home": "http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/",
}
# Sizes and digests of CamVid are fastai's, whose list of checks hashes only the first 2**20 bytes of an archive.
FETCHABLE_SETS: Mapping[str, FetchableSet] = {
    found.name: found
    for found in (
        FetchableSet(
            "camvid",
            "https://s3.amazonaws.com/fast-ai-imagelocal/camvid.tgz",
            598913237,
            f"{_FIRST_MIB}:648371e4f3a833682afb39b08a3ce2aa",
            **_CAMVID,
        ),
        FetchableSet(
            "camvid_tiny",
            "https://s3.amazonaws.com/fast-ai-sample/camvid_tiny.tgz",
            2314212,
            f"{_FIRST_MIB}:2cf6daf91b7a2083ecfa3e9968e9d915",
            **_CAMVID,
        ),
        FetchableSet(
            "comma10k",
            "https://github.com/commaai/comma10k/archive/refs/heads/master.zip",
            None,  # The archive is made of whatever the branch holds today.
            None,
            "MIT",
            "masks",
            "https://github.com/commaai/comma10k",
        ),
        FetchableSet(
            "kitti_road",
            "https://s3.eu-central-1.amazonaws.com/avg-kitti/data_road.zip",
            None,
            None,
            "CC BY-NC-SA 3.0",
            "training",
            "https://www.cvlibs.net/datasets/kitti/eval_road.php",
        ),
    )
}
ACCOUNT_SETS: Mapping[str, AccountSet] = {
    found.name: found
    for found in (
        AccountSet(
            "bdd100k",
            "http://bdd-data.berkeley.edu",
            ('"100K Images" (bdd100k_images_100k.zip)', '"Drivable Area" (bdd100k_drivable_labels_trainval.zip)'),
            ("images/100k/<split>/<id>.jpg", "labels/drivable/masks/<split>/<id>.png"),
            "UC Berkeley: educational, research and not-for-profit purposes",
        ),
        AccountSet(
            "cityscapes",
            "https://www.cityscapes-dataset.com/downloads/",
            ("leftImg8bit_trainvaltest.zip", "gtFine_trainvaltest.zip"),
            (
                "leftImg8bit/<split>/<city>/<id>_leftImg8bit.png",
                "gtFine/<split>/<city>/<id>_gtFine_labelIds.png",
            ),
            "Cityscapes: non-commercial purposes",
        ),
        AccountSet(
            "mapillary",
            "https://www.mapillary.com/dataset/vistas",
            ("mapillary-vistas-dataset_public_v2.0.zip",),
            ("config_v2.0.json", "training/images/<id>.jpg", "training/v2.0/labels/<id>.png", "validation/ likewise"),
            "Mapillary Vistas Research Edition, in the archive",
        ),
    )
}


class _DroppedError(Exception):
    """A try that failed in a way that another may not."""


def fetch_set(
    name: str, out: Path, url: str | None = None, sha256: str | None = None, report: Report = lambda *_: None
) -> Fetched:
    """Download, check and unpack a set that needs no account, to ``out/name``; a set that is there is left alone.

    Args:
        name: one of :data:`FETCHABLE_SETS`.
        out: folder of data sets.
        url: http, https or file address of the archive, instead of ``DRIVABLE_FETCH_<NAME>_URL`` and the set's own;
            a user and a password in it are sent (basic authentication), and neither shown nor kept.
        sha256: of the archive, instead of its published size and digest.
        report: told of the progress.

    Raises:
        ConfigError: where there is no such set, or the address or the digest is none.
        DataError: where the archive cannot be had, or is not what it should be.
        OutputError: where it cannot be written, or the disk is too small.

    Example:
        >>> fetch_set("camvid_tiny", Path("data")).path
        PosixPath('data/camvid_tiny')
    """
    if name not in FETCHABLE_SETS:
        known = nearest_match(name, [*FETCHABLE_SETS, *ACCOUNT_SETS])
        needs = "needs an account" if name in ACCOUNT_SETS else f"is unknown; {known}"
        raise ConfigError(f"data set '{name}' {needs}")
    wanted, destination, part = FETCHABLE_SETS[name], out / name, out / f"{name}.part"
    address = url or os.environ.get(f"DRIVABLE_FETCH_{name.upper()}_URL") or wanted.url
    if not re.match("(https?|file)://", address):
        shown = one_line(shown_address(address))
        raise ConfigError(f"address '{shown}': expected one that begins with http://, https:// or file://")
    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise ConfigError(f"sha256 '{one_line(sha256)}': expected 64 hexadecimal digits")
    if (destination / wanted.holds).is_dir():
        return Fetched(name, destination)
    refuse_used(destination, "move it away or choose another --out")
    make_folder(out)
    num_bytes, digest = (None, f"sha256:{sha256.lower()}") if sha256 else (wanted.num_bytes, wanted.digest)
    _download(address, part, num_bytes, report)
    try:
        size, found = part.stat().st_size, _check(part, address, digest)
        _unpack(part, destination, wanted.holds, report)
    except DataError:
        _discard(part)  # The next try would stumble over the same bytes.
        raise
    _discard(part)
    return Fetched(name, destination, shown_address(address), size, found)


def instructions(name: str, out: Path) -> str:
    """Say how to get a set that needs an account: what from where, and how it must look below ``out``.

    Example:
        >>> print(instructions("cityscapes", Path("data")).splitlines()[0])
        cityscapes needs an account: https://www.cityscapes-dataset.com/downloads/
    """
    wanted, folder = ACCOUNT_SETS[name], out / name
    return "\n".join(
        [
            f"{name} needs an account: {wanted.page}",
            f"licence: {wanted.licence}",
            "1. Sign in there and download:",
            *(f"     {file}" for file in wanted.files),
            f"2. Unpack into {folder}, so that it looks like this:",
            *(f"     {folder / place}" for place in wanted.places),
            "3. Run this command again to check it.",
        ]
    )


def _download(url: str, part: Path, num_bytes: int | None, report: Report) -> None:
    """Download into ``part``, or continue what an earlier call left there."""
    reason = ""
    for attempt in range(NUM_TRIES):
        if attempt:
            _log.warning("%s: %s; trying again (%d of %d)", shown_address(url), reason, attempt + 1, NUM_TRIES)
            time.sleep(PAUSE_S * 2 ** (attempt - 1))
        try:
            return _try(url, part, num_bytes, report)
        except _DroppedError as fault:
            reason = str(fault)
        except OSError as fault:
            raise OutputError(f"{part}: cannot be written: {fault.strerror or fault}; make room") from fault
    again = "to continue" if _left(url, part)[0] else "to start again"
    raise DataError(f"{url}: {reason}; run the same command again {again}")


def _try(url: str, part: Path, num_bytes: int | None, report: Report) -> None:
    have, known = _left(url, part)
    if have and have == known.get("num_bytes"):
        return
    response = _answer(url, part, have, known)
    if response is not None:
        _receive(response, url, part, (have, known), num_bytes, report)


def _answer(url: str, part: Path, have: int, known: Mapping[str, Any]) -> Any | None:
    """The server's response from byte ``have`` on; ``None`` where there is nothing left to send."""
    headers = {"User-Agent": "drivable"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": str(known["validator"])}
    try:
        return _open(url, headers)
    except urllib.error.HTTPError as fault:
        fault.close()
        if fault.code == 416 and fault.headers.get("Content-Range", "") == f"bytes */{have}":
            return None  # It was whole, and nobody had said so.
        said = one_line(f"the server answers {fault.code} {fault.reason}")
        if fault.code == 416:
            _discard(part)
        elif fault.code not in (408, 429) and fault.code < 500:
            raise DataError(f"{url}: {said}; give another --url") from fault
        raise _DroppedError(said) from fault
    except (InvalidURL, ValueError) as fault:
        raise ConfigError(f"address '{one_line(shown_address(url))}': not an address; give another --url") from fault
    except (OSError, HTTPException) as fault:
        reason = one_line(getattr(fault, "reason", fault))
        if url.startswith("file:"):
            raise DataError(f"{url}: cannot be read: {reason}") from fault
        raise _DroppedError(f"no connection: {reason}") from fault


def _receive(
    response: Any, url: str, part: Path, before: tuple[int, Mapping[str, Any]], num_bytes: int | None, report: Report
) -> None:
    """Write a response behind the bytes of before, or in their place where the server begins anew."""
    have, known = before
    with response:
        resumed = response.status == 206
        if resumed and not _continues(response.headers, have, known):
            # Some servers know Range and not If-Range.
            _discard(part)
            raise _DroppedError("the file has changed on the server")
        if have and not resumed:
            _log.warning(
                "%s: cannot be continued, the file has changed or the server cannot; starting again", shown_address(url)
            )
        have = have if resumed else 0
        length = response.headers.get("Content-Length", "")
        total = have + int(length) if re.fullmatch("[0-9]{1,18}", length) else num_bytes
        if num_bytes is not None and total != num_bytes:
            raise DataError(f"{url}: {total} bytes, expected {num_bytes}; give another --url, or --sha256")
        if total is not None:
            # Archive and contents lie side by side in the end, and the contents are hardly smaller.
            require_space(part.parent, 2 * total - have)
        about = {"url": shown_address(url), "address": _digest(url), "validator": _validator(response.headers)}
        with part.open("ab" if resumed else "wb") as file:
            if not resumed:
                # After the old bytes are gone: they must never meet the new file's validator.
                write_json(_sidecar(part), about | {"num_bytes": total})
            report("downloading", have, total)
            for chunk in _chunks(response):
                have += len(chunk)
                if total is None:
                    require_space(part.parent, RESERVE_BYTES)
                    with reading(shown_address(url)):
                        check_limit("DRIVABLE_MAX_DOWNLOAD_BYTES", have, "bytes")
                elif have > total:
                    break
                file.write(chunk)
                report("downloading", have, total)
    if total is not None and have > total:
        _discard(part)
        raise DataError(f"{url}: more than the {total} bytes that it should have; give another --url, or --sha256")
    if total is not None and have != total:
        raise _DroppedError(f"the connection dropped after {have} of {total} bytes")
    if total is None:
        write_json(_sidecar(part), about | {"num_bytes": have})


def _open(url: str, headers: Mapping[str, str]) -> Any:
    """Ask for an address; a user and a password in it are sent in a header that no other server is given."""
    if url.startswith("file:"):
        require_regular(Path(unquote(urlsplit(url).path)))
    scheme, slashes, rest = url.partition("://")
    host = re.split("[/?#]", rest, maxsplit=1)[0]
    user, at, _ = host.rpartition("@")
    request = urllib.request.Request(scheme + slashes + rest.removeprefix(user + at), headers=dict(headers))
    if at:
        pair = unquote(user) if ":" in user else f"{unquote(user)}:"
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}")
    with _watched() as connect:
        return urllib.request.build_opener(_Redirects, _Http(connect), _Https(connect)).open(
            request, timeout=_TIMEOUT_S
        )


class _Redirects(urllib.request.HTTPRedirectHandler):
    """From http to http or https, and from https to https."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Refuse any other."""
        scheme = urlsplit(urljoin(req.full_url, newurl)).scheme
        if scheme != "https" and (scheme, req.type) != ("http", "http"):
            raise DataError(f"{req.full_url}: leads to {newurl}, which is not followed; give another --url")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Http(urllib.request.HTTPHandler):
    def __init__(self, connect: Callable[..., socket.socket]) -> None:
        super().__init__()
        self._connect = connect

    def http_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(partial(_connection, HTTPConnection, self._connect), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, connect: Callable[..., socket.socket]) -> None:
        super().__init__()
        self._connect = connect

    def https_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(partial(_connection, HTTPSConnection, self._connect), req)


def _connection(kind: type[HTTPConnection], connect: Callable[..., socket.socket], *args: Any, **kwargs: Any) -> Any:
    made = kind(*args, **kwargs)
    made._create_connection = connect  # type: ignore[attr-defined]
    return made


@contextmanager
def _watched() -> Iterator[Callable[..., socket.socket]]:
    """A way to connect that ends after :data:`WINDOW_S` if the block, which waits for the answer's head, does not.

    A timeout of the socket alone starts again with every byte.
    """
    watched: list[socket.socket] = []

    def connect(*args: Any, **kwargs: Any) -> socket.socket:
        made = socket.create_connection(*args, **kwargs)
        # A second handle, since TLS takes the first one over.
        watched.append(made.dup())
        return made

    def end() -> None:
        for connection in watched:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    timer = Timer(WINDOW_S, end)
    timer.daemon = True
    timer.start()
    try:
        yield connect
    finally:
        timer.cancel()
        for connection in watched:
            connection.close()


def _chunks(response: Any) -> Iterator[bytes]:
    """What a server sends, as it comes; one that trickles is given up."""
    began, received = time.monotonic(), 0
    while True:
        try:
            # Not read: it waits until so many bytes are there, however slowly they come.
            chunk = response.read1(_CHUNK)
        except (OSError, HTTPException) as fault:
            raise _DroppedError(f"the connection dropped: {one_line(fault)}") from fault
        if not chunk:
            return
        yield chunk
        received += len(chunk)
        elapsed = time.monotonic() - began
        if elapsed >= WINDOW_S:
            if received < LEAST_RATE * elapsed:
                raise _DroppedError(f"only {received} bytes came in {elapsed:.0f} seconds")
            began, received = time.monotonic(), 0


def _validator(headers: HTTPMessage) -> str | None:
    """What tells this version of a file from another; a weak ETag may not be sent in If-Range."""
    etag = headers.get("ETag", "")
    return etag if etag.startswith('"') else headers.get("Last-Modified")


def _continues(headers: HTTPMessage, have: int, known: Mapping[str, object]) -> bool:
    said = (headers.get("ETag"), headers.get("Last-Modified"))
    same = known.get("validator") in said or said == (None, None)
    return have > 0 and same and headers.get("Content-Range", "").startswith(f"bytes {have}-")


def _left(url: str, part: Path) -> tuple[int, Mapping[str, object]]:
    """Bytes of an earlier call that may be continued, and what is known of them."""
    try:
        known = json.loads(_sidecar(part).read_text(encoding="utf-8"))
        have = part.stat().st_size
    except (OSError, ValueError):
        return 0, {}
    same = isinstance(known, dict) and known.get("address") == _digest(url)
    return (have, known) if same and (known.get("validator") or have == known.get("num_bytes")) else (0, {})


def _digest(url: str) -> str:
    """What tells an address from another, without the user and the password in it."""
    bare = re.sub("(?<=://)[^/?#]*@", "", url)
    return hashlib.blake2b(bare.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def _sidecar(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _sidecar(part).unlink(missing_ok=True)


def _check(part: Path, url: str, digest: str | None) -> str:
    """The sha256 of a file that has the digest it should have."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    kind, _, expected = (digest or "").partition(":")
    with part.open("rb") as file:
        while chunk := file.read(2**20):
            sha256.update(chunk)
            if kind == "md5" or file.tell() <= 2**20:
                md5.update(chunk)
    got = sha256.hexdigest() if kind == "sha256" else md5.hexdigest()
    if digest is not None and got != expected:
        raise DataError(f"{url}: got {kind} {got}, expected {expected}; the download was removed")
    return sha256.hexdigest()


def _unpack(archive: Path, destination: Path, holds: str, report: Report) -> None:
    """Unpack to a new folder, whole or not at all; a single folder around everything is left out."""
    with written_whole(destination) as temporary:
        temporary.mkdir()
        unpack(archive, temporary, partial(report, "unpacking"))
        # macOS packs its own files beside the one folder.
        entries = [entry for entry in temporary.iterdir() if not entry.name.startswith((".", "__MACOSX"))]
        if len(entries) == 1 and entries[0].is_dir():
            inner = entries[0].replace(temporary.with_name(f"{temporary.name}.inner"))
            try:
                shutil.rmtree(temporary)
                inner.replace(temporary)
            finally:
                shutil.rmtree(inner, ignore_errors=True)
        if not (temporary / holds).is_dir():
            raise DataError(f"{archive}: no folder {holds}/ in the archive; is it the right one? It was removed")
