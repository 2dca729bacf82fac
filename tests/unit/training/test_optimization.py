"""Optimisers and schedules do what a recipe says."""

import pytest
import torch

from drivable.config import load_recipe
from drivable.models import build_model, default_spec
from drivable.training.optimization import build_optimizer, build_schedule, set_position


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "adagrad"])
def test_optimisers_move_the_model(name: str) -> None:
    torch.manual_seed(0)
    model = build_model(default_spec("lite"), 3)
    spec = load_recipe("lite", [f"optimizer.name={name}", "optimizer.weight_decay=0.1"]).optimizer
    optimizer = build_optimizer(model, spec)
    rates = {group["lr"] for group in optimizer.param_groups}
    assert rates == {spec.learning_rate, spec.learning_rate * spec.backbone_factor}
    for group in optimizer.param_groups:
        assert all((parameter.ndim > 1) == (group["weight_decay"] > 0) for parameter in group["params"])
    before = model.decoder.classify.weight.clone()  # type: ignore[union-attr, operator]
    model(torch.rand(2, 3, 32, 32)).mean().backward()
    optimizer.step()
    assert not torch.equal(before, model.decoder.classify.weight)  # type: ignore[union-attr, arg-type]


@pytest.mark.parametrize(
    ("schedule", "start", "peak", "end"),
    [
        ("{name: one_cycle, warmup: 0.3, start_divisor: 10}", 0.1, 30, 0.0),
        ("{name: cosine}", 1.0, 0, 0.0),
        ("{name: cosine, warmup: 0.1}", 0.1, 10, 0.0),
        ("{name: cosine_restarts, first_cycle: 0.5, cycle_factor: 1}", 1.0, 50, 0.0),
        ("{name: polynomial, power: 0.9}", 1.0, 0, 0.0),
        ("{name: constant}", 1.0, 99, 1.0),
    ],
)
def test_schedules(schedule: str, start: float, peak: int, end: float) -> None:
    recipe = load_recipe("lite", [f"schedule={schedule}", "optimizer.backbone_factor=1", "optimizer.name=adam"])
    optimizer = build_optimizer(build_model(recipe.model, 3), recipe.optimizer)
    scheduler = build_schedule(optimizer, recipe.schedule, num_steps=101)
    rates = []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"] / recipe.optimizer.learning_rate)
        optimizer.step()
        scheduler.step()
    assert rates[0] == pytest.approx(start, abs=0.01)
    assert rates[peak] == pytest.approx(1.0, abs=0.01)
    assert rates[-1] == pytest.approx(end, abs=0.03)


@pytest.mark.parametrize("num_steps", range(2, 31))
def test_one_cycle_of_few_steps(num_steps: int) -> None:
    for warmup in (0.1, 0.2, 0.3, 0.5):
        recipe = load_recipe("lite", [f"schedule.warmup={warmup}"])
        optimizer = build_optimizer(build_model(recipe.model, 3), recipe.optimizer)
        scheduler = build_schedule(optimizer, recipe.schedule, num_steps)
        for _ in range(num_steps - 1):
            optimizer.step()
            scheduler.step()


@pytest.mark.parametrize("num_done", [0, 1, 24, 25, 26, 49, 50, 99])
@pytest.mark.parametrize(
    "schedule",
    [
        "{name: one_cycle}", "{name: cosine, warmup: 0.1}", "{name: cosine_restarts, first_cycle: 0.25}",
        "{name: cosine_restarts, first_cycle: 0.25, cycle_factor: 1}", "{name: polynomial}", "{name: constant}",
    ],
)  # fmt: skip
def test_a_position_is_that_of_so_many_steps(schedule: str, num_done: int) -> None:
    recipe = load_recipe("lite", [f"schedule={schedule}"])

    def fresh() -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
        optimizer = build_optimizer(torch.nn.ModuleDict({"backbone": torch.nn.Linear(2, 2)}), recipe.optimizer)
        return optimizer, build_schedule(optimizer, recipe.schedule, num_steps=100)

    def step() -> None:
        walked[0].step()
        walked[1].step()

    walked, set_there = fresh(), fresh()
    for _ in range(num_done):
        step()
    set_position(set_there[1], num_done)
    for _ in range(100 - num_done):
        assert set_there[0].state_dict()["param_groups"] == walked[0].state_dict()["param_groups"]
        step()
        set_there[0].step()
        set_there[1].step()
