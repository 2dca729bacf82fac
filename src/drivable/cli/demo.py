"""``drivable demo``: the whole job on rendered roads, with nothing to download."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drivable.cli.tables import JsonOption, print_table
from drivable.errors import OutputError

if TYPE_CHECKING:
    from drivable.config import Recipe

_SIZE = (288, 512)
_NUM_PICTURES = {"train": 320, "val": 32, "test": 64}
_NUM_FRAMES = 100
_FPS = 10
# Of the roads that training never sees.
_SEED, _DRIVE_SEED = 1, 20_000


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything; it is made anew.")] = Path("demo"),
    json: JsonOption = None,
) -> None:
    """Render a drive, train a small model on it, score it, segment an unseen drive and write a report."""
    from drivable.cli.evaluate import print_evaluation
    from drivable.config import load_recipe, with_data_path
    from drivable.data import open_data, select_split
    from drivable.evaluation import ModelPredictions, evaluate
    from drivable.evaluation.report import Report, galleries, write_report
    from drivable.files import write_json
    from drivable.imaging.sources import find_sources
    from drivable.prediction import predict
    from drivable.progress import progress
    from drivable.segmenter import load
    from drivable.training import train

    _clear(out)
    data, run, film = out / "data", out / "run", out / "unseen_drive.mp4"

    _render_data(data)
    recipe = with_data_path(load_recipe("demo"), data)
    size = "{}x{}".format(*recipe.data.size)
    _say(f"2/5 training {recipe.model.name} for {recipe.training.epochs} epochs at {size}")
    train(recipe, run)

    _say("3/5 scoring pictures of roads it never saw")
    segmenter = load(run)
    road_data = open_data(data)
    samples = select_split(road_data, "test")
    with progress("scoring", len(samples)) as advance:
        evaluation = evaluate(segmenter, samples, road_data.labels, road_data.attributes, on_sample=advance)

    _say(f"4/5 segmenting a rendered drive of {_NUM_FRAMES} frames")
    _render_film(film)
    with progress("segmenting", _NUM_FRAMES) as advance:
        predict(segmenter, find_sources([str(film)]), out / "segmented", on_item=advance)

    _say("5/5 writing the report")
    page = Report(
        title="drivable: the whole job on rendered roads",
        lead="A small model, trained from rendered pictures with exact labels, on roads it never saw.",
        facts=_facts(recipe, data),
        galleries=galleries(ModelPredictions(segmenter), samples, evaluation),
        curves=run / "curves.png",
        video=f"segmented/{film.stem}.mp4",
    )
    write_report(out / "report.html", evaluation, page)
    print_evaluation(evaluation)
    _print_places(out)
    if json is not None:
        write_json(json, {"out": str(out), **evaluation.to_dict()})


def _print_places(out: Path) -> None:
    places = {
        "report": out / "report.html",
        "overlay video": out / "segmented/unseen_drive.mp4",
        "trained model": out / "run/best.safetensors",
        "curves": out / "run/curves.png",
        "rendered data": out / "data",
    }
    print_table(["what", "where"], [[what, str(where)] for what, where in places.items()])


def _render_data(data: Path) -> None:
    from drivable.progress import progress
    from drivable.synthetic import write_rendered_dataset

    num = sum(_NUM_PICTURES.values())
    _say(f"1/5 rendering {num} labelled pictures in BDD100K's layout")
    with progress("rendering", num) as advance:
        write_rendered_dataset(data, _NUM_PICTURES, _SEED, _SIZE, advance)


def _facts(recipe: Recipe, data: Path) -> dict[str, str]:
    return {
        "model": recipe.model.name,
        "pictures": ", ".join(f"{split} {count}" for split, count in _NUM_PICTURES.items()),
        "trained at": f"{recipe.data.size[0]}x{recipe.data.size[1]}, {recipe.training.epochs} epochs",
        "again": f"drivable train demo --data {data} --out another_run",
    }


def _render_film(film: Path) -> None:
    from fractions import Fraction

    from drivable.imaging.video import Frame, video_writer
    from drivable.progress import progress
    from drivable.synthetic import render_drive

    with progress("rendering", _NUM_FRAMES) as advance, video_writer(film, _SIZE, Fraction(_FPS)) as write:
        for index, frame in enumerate(render_drive(_DRIVE_SEED, _NUM_FRAMES, _SIZE, _FPS)):
            write(Frame(frame.image, Fraction(index, _FPS), Fraction(1, _FPS)))
            advance()


def _clear(out: Path) -> None:
    """Remove an earlier demo, and nothing else."""
    import shutil

    known = {"data", "run", "segmented", "unseen_drive.mp4", "report.html"}
    try:
        if not out.exists():
            return
        names = sorted(entry.name for entry in out.iterdir()) if out.is_dir() else [out.name]
        # A killed demo leaves temporary names.
        others = [name for name in names if name not in known and ".partial-" not in name]
        if others:
            raise OutputError(f"{out}: holds '{others[0]}', which no demo wrote; choose another --out")
        shutil.rmtree(out)
    except OSError as fault:
        raise OutputError(f"{out}: cannot be made anew: {fault.strerror or fault}; choose another --out") from fault


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
