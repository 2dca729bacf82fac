"""``drivable data fetch``: get a data set, or say how to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from drivable.cli.tables import JsonOption, print_table
from drivable.errors import ConfigError, DataError


def fetch(
    name: Annotated[
        str, typer.Argument(help="camvid, camvid_tiny, comma10k, kitti_road; bdd100k, cityscapes, mapillary.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of data sets; this one goes to OUT/NAME.")] = Path("data"),
    url: Annotated[
        str | None, typer.Option(help="Another address of the archive; also DRIVABLE_FETCH_<NAME>_URL.")
    ] = None,
    sha256: Annotated[
        str | None, typer.Option(metavar="HEX", help="Expect this of the archive, not what is published.")
    ] = None,
    json: JsonOption = None,
) -> None:
    """Download and unpack a data set, or say how to get one that needs an account and check it."""
    from drivable.curation.fetch import ACCOUNT_SETS, FETCHABLE_SETS, fetch_set, instructions
    from drivable.data import open_data
    from drivable.files import write_json

    if name in ACCOUNT_SETS:
        if url is not None or sha256 is not None:
            raise ConfigError(f"{name} needs an account and comes in several files; leave out --url and --sha256")
        try:
            if not (out / name).exists():
                raise DataError(f"{out / name}: not there yet; {name} has to be downloaded by hand")
            data = open_data(out / name)
        except DataError:
            print(instructions(name, out))
            raise
        pairs = {split or "all": len(samples) for split, samples in data.samples.items()}
        print_table(
            ["what", "found"],
            [
                ["folder", str(data.root)],
                ["layout", data.layout],
                ["pairs", ", ".join(f"{split} {count}" for split, count in pairs.items())],
                ["pictures without a label", str(len(data.unlabelled))],
                ["licence", ACCOUNT_SETS[name].licence],
            ],
        )
        if json is not None:
            write_json(json, {"name": name, "path": str(data.root), "layout": data.layout, "num_pairs": pairs})
        return
    with _byte_bar(name) as report:
        fetched = fetch_set(name, out, url, sha256, report)
    wanted = FETCHABLE_SETS[name]
    if fetched.sha256 is None:
        print(f"{name} is there already: {fetched.path}")
    else:
        print_table(
            ["what", "fetched"],
            [
                ["folder", str(fetched.path)],
                ["from", fetched.url],
                ["bytes", str(fetched.num_bytes)],
                ["sha256", fetched.sha256],
                ["licence", wanted.licence],
                ["home page", wanted.home],
            ],
        )
    if json is not None:
        found = {"url": fetched.url, "num_bytes": fetched.num_bytes, "sha256": fetched.sha256}
        about = {"licence": wanted.licence, "home": wanted.home, "was_there": fetched.sha256 is None}
        write_json(json, {"name": name, "path": str(fetched.path), **found, **about})


@contextmanager
def _byte_bar(name: str) -> Iterator[Callable[[str, int, int | None], None]]:
    """Like :func:`drivable.progress.progress`, in bytes, for one work after another."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from drivable.progress import ProgressLines

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    if not console.is_terminal:
        lines: dict[str, ProgressLines] = {}

        def tell(work: str, done: int, total: int | None) -> None:
            if work not in lines:
                mib = None if total is None else total >> 20
                lines[work] = ProgressLines(f"{work} {name}, MiB", mib, done >> 20)
            lines[work].reach(done >> 20)

        yield tell
        return
    with Progress(*columns, console=console) as bar:
        tasks = {}

        def report(work: str, done: int, total: int | None) -> None:
            if work not in tasks:
                tasks[work] = bar.add_task(f"{work} {name}", total=total)
            bar.update(tasks[work], completed=done, total=total)

        yield report
