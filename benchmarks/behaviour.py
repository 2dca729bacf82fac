"""Whether two commits do the same: losses of a tiny training, label maps, scores.

    python benchmarks/behaviour.py OLD NEW --data BDD100K [--splits course] [--images 24]

Each commit is checked out aside and run through its own command line alone, so that names inside may have changed. The
training is seeded, on one thread; images are taken evenly from the test split; the model is ``drivable-lite``, in torch
and as each commit's own export to ONNX and OpenVINO in float32.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

RUNTIMES = {"torch": "drivable-lite", "onnx": "lite.onnx", "openvino": "lite.xml"}
TRAINING = (
    "data.size=[64,96]", "data.num_workers=0", "data.splits=null", "model.pretrained=null",
    "training.epochs=2", "training.batch_size=4", "training.sizes=null", "training.precision=32-true",
    "training.accelerator=cpu",
)  # fmt: skip


def run(source: Path, folder: Path, *arguments: str) -> None:
    """A command of one commit, in a folder of its own."""
    environment = {**os.environ, "PYTHONPATH": str(source / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-m", "drivable", *arguments], cwd=folder, env=environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
    if done.returncode:
        sys.exit(f"{source.name}: drivable {' '.join(arguments)}: exit code {done.returncode}\n{done.stdout[-2000:]}")


def probe(source: Path, folder: Path, images: list[Path], arguments: argparse.Namespace) -> None:
    """Everything that is compared, into a folder."""
    folder.mkdir()
    settings = [part for setting in TRAINING for part in ("--set", setting)]
    run(source, folder, "train", "lite", "--data", str(arguments.rendered), "--out", "run", *settings)
    for name in ("lite.onnx", "lite.xml"):
        run(source, folder, "export", "drivable-lite", "--out", name)
    for runtime, model in RUNTIMES.items():
        run(source, folder, "predict", *map(str, images), "--model", model, "--out", runtime)
        scored = [
            "--data",
            arguments.data,
            "--splits",
            arguments.splits,
            "--split",
            "test",
            "--json",
            f"{runtime}.json",
        ]
        run(source, folder, "evaluate", model, *scored)


def compare(old: Path, new: Path) -> list[str]:
    """Lines of a table; those that differ begin with an exclamation mark."""
    rows = [list(csv.DictReader((folder / "run/history.csv").open())) for folder in (old, new)]
    losses = [[(row["train_loss"], row["val_loss"]) for row in table] for table in rows]
    lines = [f"{' ' if losses[0] == losses[1] else '!'} losses of a tiny training: {losses[0]} and {losses[1]}"]
    for runtime in RUNTIMES:
        files = [file for file in sorted((old / runtime).rglob("*.png")) if "label" in file.parent.name]
        twins = [new / runtime / file.relative_to(old / runtime) for file in files]
        pairs = [[np.asarray(Image.open(f)) for f in pair] for pair in zip(files, twins, strict=True)]
        same = float(np.mean([(a == b).mean() for a, b in pairs]))
        lines.append(
            f"{' ' if same == 1 else '!'} {runtime}: {same:.4%} of the pixels of {len(pairs)} label maps are equal"
        )
        scores = [json.loads((folder / f"{runtime}.json").read_text()) for folder in (old, new)]
        strict3 = [next(find(score, "strict3"))["value"] for score in scores]
        lines.append(f"{' ' if strict3[0] == strict3[1] else '!'} {runtime}: strict3 {strict3[0]} and {strict3[1]}")
    return lines


def find(value: object, key: str):
    """Every value of a key, at any depth."""
    if isinstance(value, dict):
        if key in value:
            yield value[key]
        for inner in value.values():
            yield from find(inner, key)


def main() -> None:
    """Run both and say what differs; exit with 1 where anything does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--data", required=True)
    parser.add_argument("--splits", default="course")
    parser.add_argument("--images", type=int, default=24)
    arguments = parser.parse_args()

    from drivable.synthetic import write_rendered_dataset

    with TemporaryDirectory() as name:
        base = Path(name)
        arguments.rendered, arguments.data = base / "rendered", str(Path(arguments.data).resolve())
        write_rendered_dataset(arguments.rendered, {"train": 24, "val": 8}, seed=7, size=(96, 160))
        ids = (Path(arguments.data) / "splits" / arguments.splits / "test.txt").read_text().split()
        files = {path.stem: path for path in (Path(arguments.data) / "images").rglob("*.jpg")}
        images = [files[key] for key in ids[:: max(1, len(ids) // arguments.images)]][: arguments.images]
        try:
            for which, commit in (("old", arguments.old), ("new", arguments.new)):
                subprocess.run(["git", "worktree", "add", "--detach", "--force", str(base / f"{which}-code"), commit],
                               check=True, capture_output=True)  # fmt: skip
                probe(base / f"{which}-code", base / which, images, arguments)
            lines = compare(base / "old", base / "new")
        finally:
            for which in ("old", "new"):
                subprocess.run(
                    ["git", "worktree", "remove", "--force", str(base / f"{which}-code")], capture_output=True
                )
    print("\n".join(lines))
    sys.exit(any(line.startswith("!") for line in lines))


if __name__ == "__main__":
    main()
