"""Train a model by a recipe, from data folder to run folder."""

from __future__ import annotations

import logging
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from drivable.checkpoint import BEST, LAST
from drivable.config import Recipe, load_recipe, with_data_path
from drivable.data import (
    EpochSampler,
    RoadData,
    RoadDataset,
    RoadLoader,
    Sample,
    class_counts,
    open_data,
    readable_samples,
    select_split,
)
from drivable.errors import CheckpointError, ConfigError, DataError
from drivable.files import make_folder, refuse_used
from drivable.labels import LabelSet
from drivable.losses import SummedLoss
from drivable.models import build_model
from drivable.progress import progress
from drivable.training.display import EpochLines, TrainingBar
from drivable.training.interrupt import StopBetweenBatches
from drivable.training.module import SegmentationTraining
from drivable.training.run_folder import RECIPE, STATE, RunFolder, write_recipe
from drivable.training.start import starting_model

_log = logging.getLogger(__name__)
_MAX_SHARE_SAMPLES = 500


@dataclass(frozen=True)
class TrainingResult:
    """What a training came to.

    Args:
        folder: the run folder.
        best_loss: lowest validation loss.
        history: one row per epoch, as in ``history.csv``.
        num_broken: pictures left out because they could not be read.
        is_first_process: whether this process of a run on several devices is the one to report.
    """

    folder: Path
    best_loss: float
    history: list[dict[str, float]]
    num_broken: int
    is_first_process: bool


def train(recipe: Recipe, folder: Path, resume: bool = False, skip_broken: bool = False) -> TrainingResult:
    """Fit a model and write its run folder.

    The folder receives the resolved recipe, the best checkpoint by validation loss, the last one, the state to
    resume from, history, curves and TensorBoard events. A resumed run continues from its last whole epoch to the
    same numbers as one that was never stopped.

    Args:
        recipe: how; ``data.path`` must be given.
        folder: the run folder; must be new or empty unless ``resume``.
        resume: continue the run in ``folder``.
        skip_broken: read every picture first and leave out the broken ones, instead of stopping at the first.

    Returns:
        The history and where everything is.

    Raises:
        ConfigError: where the recipe does not fit the data.
        DataError: where pictures or labels are missing or broken.
        CheckpointError: where pretrained weights or the state to resume from cannot be had.
        OutputError: where the folder is not writable or already holds a run.
        DrivableError: where the loss stops being a number.
        KeyboardInterrupt: where the user stops it; the last whole epoch's files stay, and no folder of a training
            that had not begun.

    Example:
        >>> train(load_recipe("lite", ["data.path=bdd100k"]), Path("runs/lite"))
    """
    data, samples, num_broken = _open_splits(recipe, skip_broken)
    labels = _labels(recipe, data)
    _refuse_used_folder(folder, resume)

    L.seed_everything(recipe.seed, workers=True, verbose=False)
    if resume:
        model = build_model(recipe.model, labels.num_classes, recipe.normalization)
    else:
        model, recipe = starting_model(recipe, labels.num_classes)
    if recipe.training.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    loss = SummedLoss(
        recipe.loss, labels.num_classes, labels.ignore_id, _class_shares(recipe, samples["train"], labels)
    )
    module = SegmentationTraining(model, recipe, labels, loss, [sample.id for sample in samples["train"]])
    run_folder = RunFolder(folder)
    with _quiet_lightning():
        stop = StopBetweenBatches(run_folder)
        trainer = _trainer(recipe, folder, run_folder, stop)
        # Only now: what fails before leaves no folder.
        make_folder(folder)
        if trainer.is_global_zero:
            write_recipe(folder, recipe)
        with stop.listening():
            _fit(trainer, run_folder, module, recipe, samples, folder / STATE if resume else None)
    return TrainingResult(folder, run_folder.best_loss, run_folder.history, num_broken, trainer.is_global_zero)


def resumed_recipe(folder: Path, data_path: str | Path | None = None) -> Recipe:
    """The recipe of a run to continue, with the data's place changed where they have moved.

    Raises:
        CheckpointError: where the folder holds no run.
        ConfigError: where the data's address had credentials, which are not kept, and is not given again.
    """
    for name in (RECIPE, STATE):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder}: nothing to resume: {name} is missing; is this a run folder?")
    try:
        torch.load(folder / STATE, "cpu", weights_only=True)
    # Everything: a corrupt file fails wherever the parser happens to stumble.
    except Exception as fault:
        raise CheckpointError(f"{folder / STATE}: corrupt; {BEST} and {LAST} beside it may still be used") from fault
    recipe = with_data_path(load_recipe(folder / RECIPE), data_path)
    if "***" in (recipe.data.path or ""):
        raise ConfigError(f"{folder}: a run folder keeps no credentials; give the data's address again with --data")
    return recipe


def _open_splits(recipe: Recipe, skip_broken: bool) -> tuple[RoadData, dict[str, Sequence[Sample]], int]:
    if recipe.data.path is None:
        raise ConfigError("no data: give --data PATH or set data.path in the recipe")
    data = open_data(recipe.data.path, recipe.data.layout, recipe.data.ids)
    samples: dict[str, Sequence[Sample]] = {
        split: select_split(data, split, recipe.data.splits) for split in ("train", "val")
    }
    num_broken = 0
    if skip_broken:
        for split, members in samples.items():
            with progress(f"checking {split} pictures", len(members)) as advance:
                samples[split], faults = readable_samples(members, advance)
            num_broken += len(faults)
            for fault in faults:
                _log.warning("left out: %s", fault)
    for split, members in samples.items():
        if not members:
            raise DataError(f"{data.root}: split '{split}' has no readable picture")
    return data, samples, num_broken


def _labels(recipe: Recipe, data: RoadData) -> LabelSet:
    if recipe.labels is None:
        return data.labels
    labels = recipe.labels.to_label_set()
    if labels.names != data.labels.names:
        raise ConfigError(
            f"recipe labels {list(labels.names)} differ from those of {data.root}, {list(data.labels.names)}; leave "
            "'labels' out of the recipe to take the data's"
        )
    return labels


def _refuse_used_folder(folder: Path, resume: bool) -> None:
    if getattr(rank_zero_only, "rank", 0) != 0:
        return  # A further process of a run on several devices; the first one has made the folder.
    if not resume:
        refuse_used(folder, f"choose another --out, or continue a run with --resume {folder}")


def _class_shares(recipe: Recipe, samples: Sequence[Sample], labels: LabelSet) -> list[float] | None:
    if not any(getattr(term, "class_weights", None) == "from_data" for term in recipe.loss):
        return None
    chosen = samples[:: max(1, len(samples) // _MAX_SHARE_SAMPLES)]
    counts = class_counts((sample.label.read() for sample in chosen), labels)
    return [float(count / counts.sum()) for count in counts]


def _trainer(recipe: Recipe, folder: Path, run_folder: RunFolder, stop: StopBetweenBatches) -> L.Trainer:
    training = recipe.training
    callbacks: list[Callback] = []
    if training.early_stopping is not None:
        # Before the run folder, whose saved state must hold this epoch's patience.
        callbacks.append(EarlyStopping("val_loss", patience=training.early_stopping))
    callbacks.append(run_folder)
    callbacks.append(stop)  # After the run folder, which keeps the epoch that just ended.
    if sys.stderr.isatty():
        callbacks.append(TrainingBar())
    else:
        callbacks.append(EpochLines(run_folder))
    try:
        return L.Trainer(
            max_epochs=training.epochs,
            max_steps=training.max_steps or -1,
            precision=training.precision,
            accumulate_grad_batches=training.accumulate_batches,
            gradient_clip_val=training.gradient_clip_norm,
            accelerator=training.accelerator,
            devices=training.devices,
            num_nodes=training.num_nodes,
            strategy=training.strategy,
            logger=TensorBoardLogger(folder, name="", version="tensorboard"),
            callbacks=callbacks,
            log_every_n_steps=10,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,  # Ours shares the pictures itself.
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=sys.stderr.isatty(),
            default_root_dir=folder,
        )
    except (MisconfigurationException, ValueError) as fault:
        # Lightning knows what goes together: devices, strategies, precisions.
        raise ConfigError(f"training: {' '.join(str(fault).split())}") from fault


def _fit(
    trainer: L.Trainer,
    run_folder: RunFolder,
    module: SegmentationTraining,
    recipe: Recipe,
    samples: dict[str, Sequence[Sample]],
    state: Path | None,
) -> None:
    loaders = {split: _loader(members, recipe, trainer, trains=split == "train") for split, members in samples.items()}
    try:
        trainer.fit(module, loaders["train"], loaders["val"], ckpt_path=state, weights_only=True)
        if run_folder.validated_step != trainer.global_step:
            # max_steps ended the run inside an epoch.
            trainer.validate(module, loaders["val"], verbose=False)
    except DataError as fault:
        # A worker process hands its whole traceback over as the message; its last line is ours.
        raise DataError(str(fault).strip().splitlines()[-1].removeprefix("drivable.errors.DataError: ")) from fault
    except SystemExit as stop:
        # Lightning turns Ctrl-C into an exit; the caller decides what to say.
        if not (run_folder.folder / STATE).is_file():
            shutil.rmtree(run_folder.folder, ignore_errors=True)
        raise KeyboardInterrupt from stop


def _loader(samples: Sequence[Sample], recipe: Recipe, trainer: L.Trainer, trains: bool) -> RoadLoader:
    augmentation = recipe.augmentation if trains else None
    size_of_epoch = recipe.training_size if trains else None
    dataset = RoadDataset(samples, recipe.data.size, augmentation, recipe.seed, size_of_epoch)
    sampler = EpochSampler(len(dataset), recipe.seed, trains, trainer.global_rank, trainer.world_size)
    return RoadLoader(dataset, recipe.training.batch_size, sampler, recipe.data.num_workers)


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # Advice about worker counts and private APIs that a user of a command cannot act upon.
        warnings.filterwarnings("ignore", module="lightning")
        try:
            yield
        finally:
            logger.setLevel(level)
