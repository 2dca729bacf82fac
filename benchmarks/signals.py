"""Commands that are stopped at random moments: is anything half-written, and does the work come out the same then?

Ctrl-C and hang-up go to all processes of a command, as a terminal sends them, termination to the first alone. After
each it must have ended in order, with no process, no file in the temporary folder and no half-written one left, its
output whole or absent; then the command is given again, or the training resumed, and must come to what an undisturbed
run did: weights, label maps, frames and JSON byte by byte.

    python benchmarks/signals.py [--per-signal 10] [--commands train,predict] [--signals INT,TERM,HUP] [--seed 0]

Prints a line a trial and a summary; exits with 1 where anything was wrong.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import onnx
import torch
import yaml
from safetensors.torch import load_file

from drivable.checkpoint import Checkpoint, Preprocessing, save_checkpoint
from drivable.config.models import LiteSpec
from drivable.labels import BDD100K_DRIVABLE
from drivable.models import build_model
from drivable.segmenter import load
from drivable.synthetic import write_rendered_dataset

SIZE = (96, 160)
# Of a command with torch and its compiler on a busy machine.
PATIENCE_S = 600
Digest = Mapping[str, str]
SMALL = {
    "model.pretrained": None, "data.size": [64, 96], "data.num_workers": 1, "training.epochs": 4,
    "training.batch_size": 4, "training.accelerator": "cpu", "training.precision": "32-true",
}  # fmt: skip


@dataclass(frozen=True)
class Job:
    """A command to stop.

    Args:
        name: for the table.
        arguments: of the command, from the path of its output.
        again: arguments after it was stopped, likewise.
        digest: what came out, from that path; may differ in nothing between two runs.
        goes_on: whether its output may stand there unfinished, to be gone on with.
    """

    name: str
    arguments: Callable[[Path], Sequence[object]]
    digest: Callable[[Path], Digest]
    again: Callable[[Path], Sequence[object]] | None = None
    goes_on: bool = False


def main() -> None:
    """Run the trials."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-signal", type=int, default=10)
    parser.add_argument("--commands", default="train,predict,export,pack,convert,sweep")
    parser.add_argument("--signals", default="INT,TERM,HUP")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    # Under nohup, or in the background of a script, they are ignored, and so they would be by the commands.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(130))
    numbers = [signal.Signals[f"SIG{name}"] for name in options.signals.split(",")]
    moments = random.Random(options.seed)
    violations = num_trials = 0
    with tempfile.TemporaryDirectory(prefix="drivable-signals-") as scratch:
        jobs = make_jobs(Path(scratch))
        for name in options.commands.split(","):
            job = jobs[name]
            known = undisturbed(job, Path(scratch) / name)
            print(f"{name}: {known.ends:.1f} s undisturbed, the first file after {known.begins:.1f} s", flush=True)
            for number in numbers:
                for trial in range(options.per_signal):
                    # Most of them while something is written.
                    is_late = moments.random() < 0.75
                    moment = moments.uniform(*((known.begins, known.ends) if is_late else (0.0, known.begins)))
                    place = Path(scratch) / f"{name}-{number.name}-{trial}"
                    told, wrong = one_trial(job, place, number, moment, known)
                    print(f"{name} {number.name} at {moment:.2f} s: {told}; {'; '.join(wrong) or 'ok'}", flush=True)
                    num_trials, violations = num_trials + 1, violations + bool(wrong)
                    if not wrong:
                        shutil.rmtree(place)
        print(f"{num_trials} trials, {violations} with something wrong")
        if violations and os.environ.get("DRIVABLE_KEEP"):
            shutil.copytree(scratch, os.environ["DRIVABLE_KEEP"], dirs_exist_ok=True)
    sys.exit(violations > 0)


def make_jobs(scratch: Path) -> dict[str, Job]:
    """Small data, a model of random weights and a film, and the commands that work on them."""
    data, large, film, model = scratch / "data", scratch / "large", scratch / "film.mp4", scratch / "model.safetensors"
    write_rendered_dataset(data, {"train": 24, "val": 4}, seed=7, size=SIZE)
    write_rendered_dataset(large, {"train": 48}, seed=8, size=(360, 640))
    torch.manual_seed(0)
    spec = LiteSpec(pretrained=None)
    weights = build_model(spec, 3).state_dict()
    normalization = spec.published_normalization
    save_checkpoint(model, Checkpoint(weights, spec, BDD100K_DRIVABLE, Preprocessing(SIZE, normalization)))
    with av.open(str(film), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.height, stream.width, stream.pix_fmt = 360, 640, "yuv420p"
        for moved in range(60):
            picture = np.roll(np.indices((360, 640)).sum(axis=0) % 256, 9 * moved, axis=1).astype(np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(np.repeat(picture[..., None], 3, axis=2), "rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    changes = [word for key, value in SMALL.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    study = scratch / "study.yaml"
    runs = {"cross-entropy": {}, "dice": {"loss": [{"name": "dice"}]}}
    study.write_text(
        yaml.safe_dump({"name": "study", "question": "which loss?", "recipe": "lite", "set": SMALL, "runs": runs})
    )
    jobs = [
        Job(
            "train",
            lambda out: ["train", "lite", "--data", data, "--out", out, *changes],
            trained,
            lambda out: ["train", "--resume", out] if out.exists() else jobs[0].arguments(out),
            goes_on=True,
        ),
        Job("predict", lambda out: ["predict", film, "--model", model, "--out", out, "--device", "cpu"], predicted),
        Job(
            "export",
            lambda out: ["export", model, "--out", out.with_suffix(".onnx"), "--data", data, "--force"],
            exported,
        ),
        Job("pack", lambda out: ["data", "pack", large, out, "--size", "180x320"], all_files),
        Job("convert", lambda out: ["data", "convert", large, out, "--to", "bdd100k-polygons"], all_files),
        Job("sweep", lambda out: ["sweep", study, "--data", data, "--out", out], swept, goes_on=True),
    ]
    return {job.name: job for job in jobs}


@dataclass(frozen=True)
class Undisturbed:
    """A job that nobody stopped.

    Args:
        digest: what it came to.
        begins: seconds after which its first file stands there.
        ends: seconds after which it ends.
        temporary: what libraries leave in the temporary folder, such as torch's cache of its compiler.
    """

    digest: Digest
    begins: float
    ends: float
    temporary: frozenset[str]


def undisturbed(job: Job, place: Path) -> Undisturbed:
    """Run a job to its end."""
    place.mkdir()
    before = time.monotonic()
    process = start(job.arguments(place / "out"), place)
    begins = None
    while process.poll() is None:
        if begins is None and any(entry.name != "tmp" and entry.name != "said" for entry in place.iterdir()):
            begins = time.monotonic() - before
        time.sleep(0.005)
    ends = time.monotonic() - before
    if process.returncode:
        sys.exit(f"{job.name}: failed undisturbed:\n{(place / 'said').read_text()}")
    left = frozenset(path.name for path in (place / "tmp").iterdir())
    return Undisturbed(job.digest(place / "out"), begins or 0.0, ends, left)


def one_trial(
    job: Job, place: Path, number: signal.Signals, moment: float, known: Undisturbed
) -> tuple[str, list[str]]:
    """Stop a job and give it again: what happened, and what was wrong."""
    place.mkdir()
    out, expected = place / "out", known.digest
    process = start(job.arguments(out), place)
    ended = False
    try:
        process.wait(moment)
        ended = True
    except subprocess.TimeoutExpired:
        (os.kill if number == signal.SIGTERM else os.killpg)(process.pid, number)
    try:
        code = process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return "hung", [f"did not end within {PATIENCE_S} s"]
    said = (place / "said").read_text(errors="replace")
    wrong = left_over(place, process.pid, known)
    stands = sorted(entry.name for entry in place.iterdir() if entry.name not in ("tmp", "said"))
    if ended:
        told = "had ended"
    elif code < 0 or said.rstrip().endswith("KeyboardInterrupt"):
        # Python itself was starting or ending, and nobody was there to take the signal.
        told = "as it ended" if stands else "before it began"
    else:
        told = f"exit code {code}"
        wrong += [] if code in (0, 1, 130) else [f"exit code {code}"]
        wrong += ["a traceback"] if "Traceback" in said else []
        wrong += [f"exit code 1: {said[-300:]!r}"] if code == 1 and "stopped" not in said else []
    if stands and not job.goes_on and code != 0:
        wrong += unless_whole(job, out, expected, stands)
    # Of what came out whole, a second into the same place is refused by some and gives nothing new by the others.
    if not stands or (job.goes_on and not ended) or (out.is_dir() and not any(out.iterdir())):
        process = start((job.again or job.arguments)(out), place)
        if process.wait(PATIENCE_S):
            return told, [*wrong, f"again: exit code {process.returncode}: {(place / 'said').read_text()[-400:]!r}"]
        wrong += [f"again: {what}" for what in left_over(place, process.pid, known)]
    try:
        got = job.digest(out)
    except Exception as fault:
        return told, [*wrong, f"what it came to cannot be read: {fault!r}"]
    different = sorted(key for key in got.keys() | expected.keys() if got.get(key) != expected.get(key))
    return told, [*wrong, *([f"differs: {different[:5]}"] if different else [])]


def unless_whole(job: Job, out: Path, expected: Digest, stands: Sequence[str]) -> list[str]:
    """What of an output is not as it would be in the end; an empty folder is none."""
    if out.is_dir() and not any(out.iterdir()):
        return []
    try:
        return [] if job.digest(out) == expected else [f"{list(stands)} are not whole"]
    except Exception as fault:
        return [f"{list(stands)} are not whole: {fault!r}"]


def start(arguments: Sequence[object], place: Path) -> subprocess.Popen[bytes]:
    """Run a command in a session and with a temporary folder of its own."""
    temporary = place / "tmp"
    temporary.mkdir(exist_ok=True)
    with (place / "said").open("wb") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "drivable", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
            env={**os.environ, "TMPDIR": str(temporary), "XDG_CACHE_HOME": str(place.parent / "cache")},
        )


def left_over(place: Path, session: int, known: Undisturbed) -> list[str]:
    """Processes, temporary and half-written files that are still there."""
    deadline = time.monotonic() + 10
    while (alive := processes_of(session)) and time.monotonic() < deadline:
        time.sleep(0.05)
    if alive:
        os.killpg(session, signal.SIGKILL)
    half = [path.name for path in place.rglob("*") if ".partial-" in path.name or path.name.startswith(".writable-")]
    temporary = sorted({path.name for path in (place / "tmp").iterdir()} - known.temporary)
    return (
        ([f"processes {alive} live on"] if alive else [])
        + ([f"half-written: {half}"] if half else [])
        + ([f"in the temporary folder: {temporary}"] if temporary else [])
    )


def processes_of(session: int) -> list[int]:
    """Processes of a session, but those that only wait to be asked for their exit code."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, its_session = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(its_session) == session and state != "Z":
            found.append(int(stat.parent.name))
    return found


def all_files(out: Path) -> Digest:
    """Every file, byte by byte."""
    return {str(path.relative_to(out)): of_bytes(path.read_bytes()) for path in out.rglob("*") if path.is_file()}


def trained(out: Path) -> Digest:
    """Weights and history of a run folder; times differ."""
    found = {"recipe": of_bytes((out / "recipe.yaml").read_bytes())}
    for name in ("best", "last"):
        for key, tensor in load_file(out / f"{name}.safetensors").items():
            found[f"{name} {key}"] = of_bytes(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    rows = [row.split(",") for row in (out / "history.csv").read_text().splitlines()]
    kept = [k for k, name in enumerate(rows[0]) if name != "seconds"]
    found["history"] = of_bytes(str([[row[k] for k in kept] for row in rows]).encode())
    return found


def swept(out: Path) -> Digest:
    """Rows of a study, and the runs."""
    rows = json.loads((out / "study.json").read_text())["rows"]
    found = {"rows": of_bytes(json.dumps([{k: v for k, v in row.items() if k != "minutes"} for row in rows]).encode())}
    for run in sorted((out / "runs").iterdir()):
        found |= {f"{run.name} {key}": value for key, value in trained(run).items()}
    return found


def predicted(out: Path) -> Digest:
    """Frames of the film."""
    found = {}
    for path in sorted(out.rglob("*")):
        if path.suffix == ".mp4":
            with av.open(str(path)) as container:
                frames = [frame.to_ndarray(format="rgb24").tobytes() for frame in container.decode(video=0)]
            found[path.name] = f"{len(frames)} frames {of_bytes(b''.join(frames))}"
        elif path.is_file():
            found[path.name] = of_bytes(path.read_bytes())
    return found


def exported(out: Path) -> Digest:
    """Weights, and what comes out; the exporter numbers its nodes by chance."""
    file = out.with_suffix(".onnx")
    weights = sorted(of_bytes(tensor.SerializeToString()) for tensor in unnamed(onnx.load(file)))
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    return {"weights": of_bytes(str(weights).encode()), "label map": of_bytes(load(file).segment(image).tobytes())}


def unnamed(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    """The initialisers of a graph, without their names."""
    for tensor in model.graph.initializer:
        tensor.name = ""
    return list(model.graph.initializer)


def of_bytes(content: bytes) -> str:
    """A digest."""
    return hashlib.blake2b(content, digest_size=8).hexdigest()


if __name__ == "__main__":
    main()
