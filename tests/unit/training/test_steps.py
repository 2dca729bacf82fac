"""What a training step adds up: auxiliary heads and teachers."""

import pytest
import torch

from drivable.checkpoint import find_checkpoint, load_checkpoint
from drivable.config import load_recipe, parse_recipe
from drivable.config.recipe import DistillationSpec
from drivable.data.dataset import Batch
from drivable.errors import ConfigError, DrivableError
from drivable.labels import BDD100K_DRIVABLE
from drivable.losses import SummedLoss
from drivable.models import SegmentationModel, build_model, default_spec
from drivable.training.distillation import AveragedTeacher, DistillationStep
from drivable.training.module import SegmentationTraining
from drivable.training.steps import DeepSupervisionStep, Logs, SupervisedStep


def test_deep_supervision_weighs_both_heads() -> None:
    torch.manual_seed(0)
    recipe = load_recipe("course/pspnet", ["model.backbone=resnet18"])
    model = build_model(recipe.model, 3).eval()
    loss = SummedLoss(recipe.loss, 3, BDD100K_DRIVABLE.ignore_id)
    images, label_maps = torch.rand(2, 3, 64, 64), torch.randint(0, 3, (2, 64, 64), dtype=torch.uint8)
    total, logs = DeepSupervisionStep(loss, 0.6)(model, images, label_maps)
    assert torch.allclose(total, 0.6 * logs["train_loss_main"] + 0.4 * logs["train_loss_auxiliary"])
    assert torch.allclose(SupervisedStep(loss)(model, images, label_maps)[0], logs["train_loss_main"])


def test_distillation_is_the_labels_loss_and_the_distance_from_the_teacher() -> None:
    torch.manual_seed(0)
    student, teacher = (build_model(default_spec("lite"), 3).eval() for _ in range(2))
    images, label_maps = torch.rand(2, 3, 32, 64), torch.randint(0, 3, (2, 32, 64))
    label_maps[:, :8] = 255
    loss = SummedLoss(parse_recipe({"model": {"name": "lite"}, "loss": [{"name": "dice"}]}, "test").loss, 3, 255)
    step = DistillationStep(loss, AveragedTeacher([teacher], temperature=2.0), share=0.3, ignore_id=255)
    total, logs = step(student, images, label_maps)
    with torch.no_grad():
        p, q = (model(images).div(2).softmax(dim=1) for model in (teacher, student))
        divergence = 4 * (p * (p / q).log()).sum(dim=1)[:, 8:].mean()
    assert logs["train_loss_teacher"].item() == pytest.approx(divergence.item(), rel=1e-4)
    expected = 0.7 * loss(student(images), label_maps) + 0.3 * divergence
    assert total.item() == pytest.approx(expected.item(), rel=1e-4)
    total.backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_a_teacher_is_averaged_over_sizes_and_mirror_images() -> None:
    torch.manual_seed(0)
    model = load_checkpoint(find_checkpoint("drivable-lite")).build()
    images = torch.rand(2, 3, 32, 64)
    with torch.no_grad():
        mirrored = model(images.flip(-1)).flip(-1)
        both = torch.stack([model(images), mirrored]).div(2).softmax(dim=2).mean(dim=0)
    torch.testing.assert_close(AveragedTeacher([model], 2.0, flips=True)(images), both, rtol=1e-3, atol=1e-4)
    views = AveragedTeacher([model], 2.0, (None, (64, 128)))(images)
    alone = AveragedTeacher([model], 2.0)(images)
    assert views.shape == (2, 3, 32, 64)
    torch.testing.assert_close(2 * views - alone, AveragedTeacher([model], 2.0, ((64, 128),))(images))
    assert (views - alone).abs().max() > 1e-3


def test_several_teachers_are_averaged() -> None:
    torch.manual_seed(0)
    models = [build_model(default_spec("lite"), 3).eval() for _ in range(2)]
    images = torch.rand(2, 3, 32, 64)
    each = [AveragedTeacher([model], 2.0)(images) for model in models]
    torch.testing.assert_close(AveragedTeacher(models, 2.0)(images), (each[0] + each[1]) / 2)
    assert (each[0] - each[1]).abs().max() > 1e-3
    training = load_recipe("drivable-lite-finetune", ["training.method.teacher=[drivable-lite,runs/large]"]).training
    assert isinstance(training.method, DistillationSpec)
    assert training.method.teachers == ("drivable-lite", "runs/large")
    with pytest.raises(ConfigError, match="teacher"):
        load_recipe("drivable-lite-finetune", ["training.method.teacher=[]"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("training.method.name=distillation", "training.method.teacher: Field required"),
        ("training.method.teacher=drivable-lite", "training.method: has no name; .* distillation, supervised"),
    ],
)
def test_distillation_and_a_teacher_need_each_other(change: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_recipe("lite", [change])


def test_labels_above_the_cut_teach_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load_recipe("lite", ["model.cut_top=0.25", "model.pretrained=null"])
    loss = SummedLoss(recipe.loss, 3, BDD100K_DRIVABLE.ignore_id)
    training = SegmentationTraining(build_model(recipe.model, 3), recipe, BDD100K_DRIVABLE, loss, ["a", "b"])
    taught = []

    def step(model: SegmentationModel, images: torch.Tensor, label_maps: torch.Tensor) -> tuple[torch.Tensor, Logs]:
        taught.append(label_maps)
        return torch.tensor(torch.nan), {}

    monkeypatch.setattr(training, "step", step)
    images, label_maps = torch.zeros(2, 3, 64, 64, dtype=torch.uint8), torch.ones(2, 64, 64, dtype=torch.uint8)
    with pytest.raises(DrivableError, match="its pictures: a, b"):
        training.training_step(Batch(images=images, label_maps=label_maps, indices=torch.arange(2)), 0)
    assert (taught[0][:, :16] == BDD100K_DRIVABLE.ignore_id).all()
    assert (taught[0][:, 16:] == 1).all()
