"""Importing the package changes nothing of the process that imports it, and nothing is left where it is killed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

STATE = """
import json, logging, os, pkgutil, signal, sys, warnings
import av, cv2, lightning, lightning.pytorch.callbacks, lightning.pytorch.loggers, matplotlib.figure, numpy
import matplotlib.pyplot, torch, torch.utils.tensorboard, PIL.Image, huggingface_hub
cv2.setNumThreads(3)
matplotlib.use("svg")

def state():
    loggers = logging.Logger.manager.loggerDict
    return {
        "OpenCV": [cv2.getNumThreads(), cv2.utils.logging.getLogLevel(), cv2.ocl.useOpenCL()],
        "torch": [torch.get_num_threads(), torch.get_num_interop_threads(), torch.is_grad_enabled(),
                  str(torch.get_default_dtype()), torch.are_deterministic_algorithms_enabled(), torch.initial_seed()],
        "numpy": [numpy.geterr(), numpy.get_printoptions()["precision"]],
        "Pillow": [PIL.Image.MAX_IMAGE_PIXELS],
        "matplotlib": [matplotlib.get_backend(auto_select=False), hash(str(dict(matplotlib.rcParams)))],
        "warnings": [str(entry) for entry in warnings.filters],
        "environment": dict(os.environ),
        "signals": {number: str(signal.getsignal(number)) for number in signal.valid_signals()},
        "logging": {"": [logging.root.level, len(logging.root.handlers), logging.root.manager.disable]} | {
            name: [logger.level, len(logger.handlers), logger.propagate, logger.disabled]
            for name, logger in loggers.items() if isinstance(logger, logging.Logger)
        },
        "folder": os.getcwd(),
        "limits": [sys.getrecursionlimit(), str(sys.excepthook), os.umask(os.umask(0o22))],
    }
"""
IMPORTS = """
before = state()
import drivable
for module in pkgutil.walk_packages(drivable.__path__, "drivable."):
    if module.name != "drivable.__main__":
        __import__(module.name)
assert "drivable.training.train" in sys.modules and "drivable.cli.main" in sys.modules
after = state()
# What a library that is imported for the first time says of itself is new, not changed; ours must say nothing.
for name in after["logging"].keys() - before["logging"].keys():
    untouched = [0, 0, True, False]
    if not name.startswith("drivable"):
        after["logging"].pop(name)
    else:
        before["logging"][name] = untouched
print(json.dumps({key: [before[key], after[key]] for key in before if before[key] != after[key]}))
"""


def test_importing_every_module_changes_nothing_of_the_process(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STATE + IMPORTS], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {}


UNKNOWN_USER = """
import os, pwd, sys
def unknown(*_):
    raise KeyError("getpwuid(): uid not found: 12345")
pwd.getpwuid = pwd.getpwnam = unknown
from drivable.cli.main import main
sys.argv = ["drivable", *sys.argv[1:]]
main()
"""
NO_USER = ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME", "XDG_CACHE_HOME", "MPLCONFIGDIR", "TORCHINDUCTOR_CACHE_DIR")


@pytest.mark.parametrize("command", ["inspect", "train"])
def test_a_user_without_name_and_home(rendered_data: Path, tmp_path: Path, command: str) -> None:
    small = ["model.pretrained=null", "data.size=[32, 64]", "data.num_workers=1", "training.max_steps=1"]
    arguments = {
        "inspect": ["data", "inspect", str(rendered_data), "--page", "page.html", "--workers", "1"],
        "train": ["train", "lite", "--data", str(rendered_data), *(part for key in small for part in ("--set", key))],
    }
    done = subprocess.run(
        [sys.executable, "-c", UNKNOWN_USER, *arguments[command]],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if key not in NO_USER},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


READS = """
import sys, time
from drivable.data import EpochSampler, RoadDataset, RoadLoader, open_data
dataset = RoadDataset(open_data(sys.argv[1]).all_samples, (18, 32))
loader = RoadLoader(dataset, 1, EpochSampler(len(dataset), seed=0, shuffle=False), num_workers=2)
for batch in loader:
    print("read", flush=True)
time.sleep(60)
"""


def test_a_killed_process_leaves_no_label_maps(rendered_data: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", READS, str(rendered_data)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "read\n"
        process.send_signal(signal.SIGKILL)
    process.wait()
    assert [entry.name for entry in tmp_path.iterdir() if "labels" in entry.name] == []


ENDS_A_WORKER = """
import multiprocessing, sys, tempfile
from pathlib import Path
from drivable.data import EpochSampler, RoadDataset, RoadLoader, open_data
dataset = RoadDataset(open_data(sys.argv[1]).all_samples, (18, 32))
loader = RoadLoader(dataset, 1, EpochSampler(len(dataset), seed=0, shuffle=False), num_workers=1)
next(iter(loader))
print(*(entry.name for entry in Path(tempfile.gettempdir()).iterdir() if entry.name.startswith("pymp")))
for worker in multiprocessing.active_children():
    worker.terminate()
    worker.join()
"""


def test_a_terminated_worker_leaves_no_folder(rendered_data: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDS_A_WORKER, str(rendered_data)],
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert len(done.stdout.split()) == 1, done.stderr
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith("pymp")] == []
