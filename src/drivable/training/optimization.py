"""Optimisers and learning-rate schedules by the recipe's names."""

from __future__ import annotations

import math

from torch import nn
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, LambdaLR, LRScheduler, OneCycleLR

from drivable.config.recipe import (
    CosineRestartsSpec,
    CosineSpec,
    OneCycleSpec,
    OptimizerSpec,
    PolynomialSpec,
    ScheduleSpec,
)
from drivable.models import SegmentationModel


def build_optimizer(model: SegmentationModel, spec: OptimizerSpec) -> Optimizer:
    """The optimiser over all trainable parameters.

    The backbone learns at ``backbone_factor`` times the rate of the rest. Weight decay is left out for biases and
    normalisation, whose size does not say how complex a function is.
    """
    backbone = {id(parameter) for parameter in model.backbone.parameters()}
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            groups.setdefault((id(parameter) in backbone, parameter.ndim > 1), []).append(parameter)
    parameters = [
        {
            "params": members,
            "lr": spec.learning_rate * (spec.backbone_factor if is_backbone else 1.0),
            "weight_decay": spec.weight_decay if decays else 0.0,
        }
        for (is_backbone, decays), members in groups.items()
    ]
    if spec.name == "sgd":
        return SGD(parameters, lr=spec.learning_rate, momentum=spec.momentum)
    if spec.name == "adagrad":
        return Adagrad(parameters, lr=spec.learning_rate)
    return (AdamW if spec.name == "adamw" else Adam)(parameters, lr=spec.learning_rate)


def build_schedule(optimizer: Optimizer, spec: ScheduleSpec, num_steps: int) -> LRScheduler:
    """The schedule, stepped once per optimiser step.

    Args:
        optimizer: whose groups' current rates are the peaks.
        spec: the recipe's schedule.
        num_steps: optimiser steps of the whole training.
    """
    peaks = [group["lr"] for group in optimizer.param_groups]
    if isinstance(spec, OneCycleSpec):
        return OneCycleLR(
            optimizer,
            max_lr=peaks,
            total_steps=num_steps,
            # torch divides by the steps of the warm-up less one; a hair more where that is nothing.
            pct_start=spec.warmup * (1.0001 if abs(spec.warmup * num_steps - 1) < 1e-6 else 1.0),
            anneal_strategy="cos" if spec.anneal == "cosine" else "linear",
            cycle_momentum="betas" in optimizer.defaults,  # SGD keeps the recipe's momentum.
            div_factor=spec.start_divisor,
            final_div_factor=spec.end_divisor,
        )
    if isinstance(spec, CosineRestartsSpec):
        first = max(1, round(num_steps * spec.first_cycle))
        return CosineAnnealingWarmRestarts(optimizer, T_0=first, T_mult=spec.cycle_factor)

    def factor(step: int) -> float:
        if not isinstance(spec, CosineSpec | PolynomialSpec):
            return 1.0
        num_warmup = round(num_steps * spec.warmup)
        if step < num_warmup:
            return (step + 1) / num_warmup
        progress = min(1.0, (step - num_warmup) / max(1, num_steps - num_warmup))
        if isinstance(spec, CosineSpec):
            return 0.5 * (1 + math.cos(math.pi * progress))
        return float((1 - progress) ** spec.power)

    return LambdaLR(optimizer, factor)


def set_position(schedule: LRScheduler, num_done: int) -> None:
    """Move a fresh schedule to where it would be after so many steps, and the optimiser's rates with it.

    Args:
        schedule: from :func:`build_schedule`; none of its steps taken.
        num_done: steps, at most as many as it has.

    Example:
        >>> set_position(build_schedule(optimizer, spec, num_steps=2000), num_done=800)
    """
    if num_done == 0:
        return
    if isinstance(schedule, CosineAnnealingWarmRestarts):
        length, rest = schedule.T_0, num_done
        while rest >= length:
            rest, length = rest - length, length * schedule.T_mult
        schedule.T_i, schedule.T_cur = length, rest - 1
        if rest == 0:  # Its next step begins this cycle.
            length //= schedule.T_mult
            schedule.T_i, schedule.T_cur = length, length - 1
    schedule.last_epoch, schedule._step_count = num_done - 1, num_done + 1
    schedule.step()
