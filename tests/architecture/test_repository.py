"""The repository keeps its promises: floors, recipes, README."""

import ast
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main
from PIL import Image

from drivable.cli.main import app
from drivable.config import find_recipe, load_recipe, load_study
from drivable.models import build_model

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
STUDIES = sorted((ROOT / "configs/studies").glob("*.yaml"))
RECIPES = sorted(set((ROOT / "configs").rglob("*.yaml")) - set(STUDIES))

DATA_GUIDE = (ROOT / "docs/data.md").read_text(encoding="utf-8")


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_floors() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_loads_and_builds(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.name.endswith(path.stem)
    assert build_model(recipe.model, 3).stride in (8, 16, 32)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_study_loads(path: Path) -> None:
    assert load_study(path).name == path.stem


def test_no_option_is_accepted_and_ignored() -> None:
    for file in sorted((ROOT / "src/drivable/cli").glob("*.py")):
        for function in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef) and file.stem != "main":
                named = {argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)}
                used = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
                assert named <= used, f"{file.name}: {function.name} ignores {named - used}"


def commands() -> list[str]:
    lines = [line.split("#")[0].strip() for block in blocks("bash") for line in block.splitlines()]
    return [line for line in lines if line.startswith("drivable ")]


@pytest.mark.parametrize("line", commands())
def test_readme_commands_exist(line: str) -> None:
    """Every command of the README parses: verbs, arguments and options."""
    words = shlex.split(line)[1:]
    command, rest = typer.main.get_command(app), list(words)
    while hasattr(command, "commands"):
        command = command.commands[rest.pop(0)]
    command.make_context(words[0], rest)
    if words[0] == "train" and words[1][0] != "-":
        find_recipe(words[1])


def test_readme_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^make (\w+)", "\n".join(blocks("bash")), flags=re.MULTILINE)
    assert set(targets) == {"demo", "test"}
    assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets)


def test_readme_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.zeros((90, 160, 3), dtype=np.uint8)).save(tmp_path / "road.jpg")
    names: dict[str, Any] = {}
    exec(blocks("python")[0], names)
    assert names["lane"].shape == names["result"].label_map.shape == (90, 160)
    assert names["result"].overlay().shape == (90, 160, 3)
    assert Image.open(tmp_path / "overlay.jpg").size == (160, 90)


@pytest.mark.parametrize(
    ("variant", "mask", "expected"),
    [
        (0, np.array([[7, 0, 255]], dtype=np.uint8), [[0, 1, 255]]),
        (1, np.array([[[255, 0, 255], [0, 0, 0]]], dtype=np.uint8), [[0, 1]]),
    ],
)
def test_the_guides_labels_yaml_is_read(
    variant: int, mask: np.ndarray, expected: list[list[int]], tmp_path: Path
) -> None:
    from drivable.data import open_data

    for place in ("images", "masks"):
        (tmp_path / place).mkdir()
    Image.fromarray(np.zeros((20, 30, 3), dtype=np.uint8)).save(tmp_path / "images/a.png")
    Image.fromarray(mask).save(tmp_path / "masks/a.png")
    labels, variants = blocks("yaml", DATA_GUIDE)
    (tmp_path / "labels.yaml").write_text(labels + variants.splitlines()[variant] + "\n")
    assert open_data(tmp_path).all_samples[0].label.read().tolist() == expected


def test_the_guide_names_everything_there_is() -> None:
    from drivable.curation.conversion import WRITERS
    from drivable.curation.fetch import ACCOUNT_SETS, FETCHABLE_SETS
    from drivable.curation.inspection.findings import REMEDIES
    from drivable.data import LAYOUTS

    named = set(re.findall(r"`([a-z0-9_-]+)`", DATA_GUIDE))
    for known in (LAYOUTS, WRITERS, REMEDIES, FETCHABLE_SETS, ACCOUNT_SETS):
        assert set(known) <= named, set(known) - named


@pytest.mark.slow
def test_the_wheel_carries_recipes_and_template(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".venv", ".git", "demo", ".*_cache"))
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", tmp_path, source], check=True)
    import zipfile

    names = zipfile.ZipFile(next(tmp_path.glob("drivable-*.whl"))).namelist()
    wanted = ("drivable/configs/lite.yaml", "drivable/configs/course/unet.yaml", "drivable/py.typed",
              "drivable/evaluation/report.html.j2", "drivable/curation/inspection/page.html.j2",
              "drivable/weights/drivable-lite.safetensors", "drivable/weights/drivable-lite.md")  # fmt: skip
    assert all(name in names for name in wanted)
    places = {"drivable": ROOT / "src/drivable", "drivable/configs": ROOT / "configs"}
    files = {
        f"{place}/{file.relative_to(folder).as_posix()}"
        for place, folder in places.items()
        for file in folder.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert {name for name in names if ".dist-info/" not in name} == files
