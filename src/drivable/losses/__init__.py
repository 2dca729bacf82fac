"""Losses by name, and their sums.

A loss is a pure function of logits (N, K, H, W) and label maps (N, H, W); :class:`SummedLoss` holds the recipe's
terms and their class weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from drivable.config.recipe import CrossEntropySpec, FocalSpec, LossSpec
from drivable.errors import ConfigError
from drivable.losses.boundary import boundary
from drivable.losses.cross_entropy import cross_entropy, focal
from drivable.losses.overlap import dice, tversky

__all__ = ["LOSSES", "SummedLoss", "boundary", "class_weights_from_shares", "cross_entropy", "dice", "focal", "tversky"]

LOSSES: dict[str, Callable[..., Tensor]] = {
    "cross_entropy": cross_entropy,
    "focal": focal,
    "dice": dice,
    "tversky": tversky,
    "boundary": boundary,
}


def class_weights_from_shares(shares: Sequence[float]) -> tuple[float, ...]:
    r"""Weights that lift rare classes: :math:`w_k \propto 1 / \sqrt{share_k}`, mean 1.

    The square root keeps the rarest class from drowning the others; a class without pixels gets the rarest
    present class's weight.

    Args:
        shares: share of the pixels of each class, 0..1, not all zero.

    Example:
        >>> [round(w, 2) for w in class_weights_from_shares([0.25, 0.75])]
        [1.27, 0.73]
    """
    rarest = min(share for share in shares if share > 0)
    raw = [max(share, rarest) ** -0.5 for share in shares]
    return tuple(weight * len(raw) / sum(raw) for weight in raw)


class SummedLoss(nn.Module):
    """The recipe's loss terms, each times its scale, added up.

    Args:
        terms: the recipe's ``loss``.
        num_classes: K.
        ignore_id: the id that does not count.
        class_shares: share of the training pixels of each class; needed by ``class_weights: from_data``.

    Raises:
        ConfigError: where class weights do not fit the classes.
    """

    def __init__(
        self,
        terms: Sequence[LossSpec],
        num_classes: int,
        ignore_id: int,
        class_shares: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.ignore_id = ignore_id
        self.terms: list[tuple[float, str, dict[str, Any]]] = []
        for term in terms:
            options = term.model_dump(exclude={"name", "scale"})
            if isinstance(term, CrossEntropySpec | FocalSpec):
                options["class_weights"] = _class_weights(term.class_weights, num_classes, class_shares)
            self.terms.append((term.scale, term.name, options))

    def forward(self, logits: Tensor, label_maps: Tensor) -> Tensor:
        """Sum of the terms for logits (N, K, H, W) and ids (N, H, W): scalar float32."""
        parts = [
            scale * LOSSES[name](logits, label_maps, self.ignore_id, **options) for scale, name, options in self.terms
        ]
        return torch.stack(parts).sum()


def _class_weights(
    given: tuple[float, ...] | str | None, num_classes: int, class_shares: Sequence[float] | None
) -> Tensor | None:
    if given is None:
        return None
    if given == "from_data":
        if class_shares is None:
            raise ConfigError("loss class_weights: from_data needs the class shares of the training pictures")
        given = class_weights_from_shares(class_shares)
    if len(given) != num_classes:
        raise ConfigError(f"loss class_weights: got {len(given)} weights for {num_classes} classes")
    return torch.tensor(given, dtype=torch.float32)
