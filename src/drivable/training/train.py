"""Train a model by a recipe, from data folder to run folder."""

from __future__ import annotations

import logging
import math
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from drivable.checkpoint import LAST
from drivable.config import Recipe, load_recipe, with_data_path
from drivable.data import (
    EpochSampler,
    RoadData,
    RoadDataset,
    RoadLoader,
    Sample,
    class_counts,
    loading_fault,
    open_data,
    readable_samples,
    select_split,
)
from drivable.errors import CheckpointError, ConfigError, DataError, DrivableError, one_line
from drivable.labels import LabelSet
from drivable.losses import SummedLoss
from drivable.models import SegmentationModel, build_model
from drivable.progress import progress
from drivable.segmenter import devices
from drivable.training.claim import EVENTS, claimed, clear, refuse_begun
from drivable.training.display import EpochLines, TrainingBar
from drivable.training.interrupt import StopBetweenBatches
from drivable.training.module import DivergedError, SegmentationTraining
from drivable.training.repeats import repeats_of
from drivable.training.run_folder import RECIPE, STATE, RunFolder, write_recipe
from drivable.training.start import starting_model
from drivable.training.state import Position, check_resumable, num_waited_of, position_of, read_state

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
    same numbers as one that was never stopped. While it runs, the folder is its own; a training that fails before its
    first step, or whose loss is no number in its first epoch, leaves none.

    Args:
        recipe: how; ``data.path`` must be given.
        folder: the run folder; must be new or empty unless ``resume``.
        resume: continue the run in ``folder``, by its own recipe (:func:`resumed_recipe`), whose
            :data:`~drivable.training.state.MAY_CHANGE` may have changed. With more epochs the schedule is stretched.
        skip_broken: read every picture first and leave out the broken ones, instead of stopping at the first.

    Returns:
        The history and where everything is.

    Raises:
        ConfigError: where the recipe does not fit the data, or is not that of the run to resume.
        DataError: where pictures or labels are missing or broken, or no pixel has a class; where data workers are
            killed.
        CheckpointError: where pretrained weights or the state to resume from cannot be had.
        OutputError: where the folder is not writable, already holds a run, or another training runs in it.
        DrivableError: where the loss stops being a number, or memory runs out.
        KeyboardInterrupt: where the user stops it; the last whole epoch's files stay, and no folder of a training
            that had not begun.

    Example:
        >>> train(load_recipe("lite", ["data.path=bdd100k"]), Path("runs/lite"))
    """
    data, samples, num_broken = _open_splits(recipe, skip_broken)
    labels = _labels(recipe, data)
    repeats = repeats_of(recipe.data, data, labels, samples["train"])
    is_first = getattr(rank_zero_only, "rank", 0) == 0  # The others of a run on several devices follow.
    if is_first and not resume:
        refuse_begun(folder)

    recipe = with_precision(recipe)
    L.seed_everything(recipe.seed, workers=True, verbose=False)
    if resume:
        model = build_model(recipe.model, labels.num_classes, recipe.normalization)
    else:
        model, recipe = starting_model(recipe, labels.num_classes)
    if recipe.training.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    _require_classes(samples, labels, model)
    loss = SummedLoss(
        recipe.loss, labels.num_classes, labels.ignore_id, _class_shares(recipe, samples["train"], labels)
    )
    module = SegmentationTraining(model, recipe, labels, loss, [sample.id for sample in samples["train"]])
    run_folder = RunFolder(folder)
    with _quiet_lightning():
        stop = StopBetweenBatches(run_folder)
        trainer = _trainer(recipe, folder, run_folder, stop)
        # Only now: what fails before leaves no folder.
        with claimed(folder, resume) if is_first else nullcontext():
            try:
                if resume:
                    module.resumed_at = _checked_position(folder, module, trainer)
                if trainer.is_global_zero:
                    _write_recipe(folder, recipe, trainer)
                with stop.listening():
                    _fit(trainer, run_folder, module, recipe, samples, repeats, folder / STATE if resume else None)
            except BaseException as fault:
                # Nothing to keep before the first step; nothing to go on from where no epoch ended and each resumption
                # would come to the same loss.
                is_dead = isinstance(fault, DivergedError) and not (folder / LAST).is_file()
                if is_first and not resume and (is_dead or trainer.global_step == 0):
                    clear(folder)
                raise
    if not math.isfinite(run_folder.best_loss):
        raise DrivableError(
            f"{folder}: no validation gave a number, so there is no best checkpoint; lower optimizer.learning_rate, or "
            "set training.gradient_clip_norm"
        )
    return TrainingResult(folder, run_folder.best_loss, run_folder.history, num_broken, trainer.is_global_zero)


def with_precision(recipe: Recipe) -> Recipe:
    """The recipe with ``training.precision: auto`` resolved for this machine; warns of bfloat16 that costs time here.

    The run folder's recipe says what it came to, so that a run resumed elsewhere goes on in the same precision.
    """
    training = recipe.training
    device = devices.find_device("cpu" if training.accelerator == "cpu" else "auto")
    if training.precision == "bf16-mixed":
        devices.warn_of_slow_bf16(device, "training.precision=auto")
    if training.precision != "auto":
        return recipe
    resolved = "bf16-mixed" if devices.has_fast_bf16(device) else "32-true"
    return recipe.model_copy(update={"training": training.model_copy(update={"precision": resolved})})


def resumed_recipe(folder: Path, data_path: str | Path | None = None, changes: Sequence[str] = ()) -> Recipe:
    """The recipe of a run to continue, with the data's place changed where they have moved.

    Args:
        folder: the run folder.
        data_path: where the data are now.
        changes: ``key=value`` each; :func:`train` refuses those that would make it another training.

    Raises:
        CheckpointError: where the folder holds no run.
        ConfigError: where its recipe or a change is wrong, or the data's address had credentials, which are not kept,
            and is not given again.

    Example:
        >>> train(resumed_recipe(Path("runs/lite"), changes=["training.epochs=20"]), Path("runs/lite"), resume=True)
    """
    for name in (RECIPE, STATE):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder}: nothing to resume: {name} is missing; is this a run folder?")
    read_state(folder / STATE)
    recipe = with_data_path(load_recipe(folder / RECIPE, changes), data_path)
    if "***" in (recipe.data.path or ""):
        raise ConfigError(f"{folder}: a run folder keeps no credentials; give the data's address again with --data")
    return recipe


def _open_splits(recipe: Recipe, skip_broken: bool) -> tuple[RoadData, dict[str, Sequence[Sample]], int]:
    if recipe.data.path is None:
        raise ConfigError("no data: give --data PATH or set data.path in the recipe")
    data = open_data(recipe.data.path, recipe.data.layout, recipe.data.ids)
    samples: dict[str, Sequence[Sample]] = {
        split: select_split(data, split, recipe.data.splits, recipe.data.limit) for split in ("train", "val")
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


def _require_classes(samples: dict[str, Sequence[Sample]], labels: LabelSet, model: SegmentationModel) -> None:
    """Refuse splits whose pixels are all ignored: there is nothing to learn, and a loss of 0 says nothing.

    As a rule the first label map has a class; all are read only where none has.
    """
    for split, what in (("train", "training"), ("val", "validation")):
        for sample in samples[split]:
            label_map = sample.label.read()
            seen = label_map[-model.num_seen(len(label_map)) :] if split == "train" else label_map
            if (seen != labels.ignore_id).any():
                break
        else:
            raise DataError(
                f"no {what} pixel has a class: all of the {len(samples[split])} label maps of split '{split}' are "
                f"ignored (id {labels.ignore_id}); drivable data inspect shows what they hold"
            )


def _checked_position(folder: Path, module: SegmentationTraining, trainer: L.Trainer) -> Position:
    """Where the run is that goes on, if it may go on in this way."""
    recipe, state = module.recipe, read_state(folder / STATE)
    check_resumable(state, folder, recipe, module.labels, module.train_ids, trainer.world_size)
    position = position_of(state)
    ending = _ending(folder, recipe, state, position)
    if ending is not None and trainer.is_global_zero:
        _log.warning("%s: this run is finished, so nothing is trained; %s", folder, ending)
    return position


def _ending(folder: Path, recipe: Recipe, state: dict[str, Any], position: Position) -> str | None:
    """What ended a run and how it could be longer; ``None`` where it has not ended."""
    epochs, num_done = recipe.training.epochs, position.num_epochs_done
    max_steps, patience = recipe.training.max_steps, recipe.training.early_stopping
    again = f"drivable train --resume {folder} --set"
    if max_steps and position.global_step >= max_steps:
        return (
            f"it ended at training.max_steps={max_steps}, which a resumed run keeps. For more begin a new run with "
            f"--set training.start_from={folder}"
        )
    if num_done >= epochs:
        return f"all its epochs are done. For more: {again} training.epochs={2 * epochs}"
    if patience is not None and (num_waited := num_waited_of(state)) >= patience:
        return (
            f"it stopped early, in epoch {num_done} of {epochs}, {num_waited} after its best. For more: {again} "
            f"training.early_stopping={num_waited + patience}"
        )
    return None


def _write_recipe(folder: Path, recipe: Recipe, trainer: L.Trainer) -> None:
    write_recipe(folder, recipe)
    # TensorBoard's copy is only written where there is none.
    (folder / EVENTS / TensorBoardLogger.NAME_HPARAMS_FILE).unlink(missing_ok=True)
    assert trainer.logger is not None
    trainer.logger.log_hyperparams(recipe.to_dict())


def _class_shares(recipe: Recipe, samples: Sequence[Sample], labels: LabelSet) -> list[float] | None:
    if not any(getattr(term, "class_weights", None) == "from_data" for term in recipe.loss):
        return None
    chosen = samples[:: max(1, len(samples) // _MAX_SHARE_SAMPLES)]
    counts = class_counts((sample.label.read() for sample in chosen), labels)
    return [float(count / counts.sum()) for count in counts]


def _trainer(recipe: Recipe, folder: Path, run_folder: RunFolder, stop: StopBetweenBatches) -> L.Trainer:
    training = recipe.training
    assert training.precision != "auto"  # with_precision has resolved it.
    callbacks: list[Callback] = []
    if training.early_stopping is not None:
        # Before the run folder, whose saved state must hold this epoch's patience.
        callbacks.append(_Patience(training.early_stopping))
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
            logger=TensorBoardLogger(folder, name="", version=EVENTS, default_hp_metric=False),
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
    repeats: Sequence[int],
    state: Path | None,
) -> None:
    loaders = {
        "train": _loader(samples["train"], recipe, trainer, repeats),
        "val": _loader(samples["val"], recipe, trainer),
    }
    try:
        trainer.fit(module, loaders["train"], loaders["val"], ckpt_path=state, weights_only=True)
        if run_folder.validated_step != trainer.global_step:
            # max_steps ended the run inside an epoch.
            trainer.validate(module, loaders["val"], verbose=False)
    except SystemExit as stop:
        # Lightning turns Ctrl-C into an exit; the caller decides what to say.
        raise KeyboardInterrupt from stop
    except Exception as fault:
        told = loading_fault(fault) or _memory_fault(fault)
        if told is None and state is not None and not run_folder.has_started and not isinstance(fault, DrivableError):
            told = CheckpointError(f"{state}: damaged, or of another run: {one_line(fault)}")
        if told is None:
            raise
        raise told from fault


def _memory_fault(fault: Exception) -> DrivableError | None:
    is_of_cpu = isinstance(fault, MemoryError) or "DefaultCPUAllocator" in str(fault)
    if not is_of_cpu and not isinstance(fault, torch.OutOfMemoryError):
        return None
    return DrivableError(
        f"out of memory ({one_line(fault, 120)}); lower training.batch_size, which training.accumulate_batches makes "
        "up for, or data.size"
    )


class _Patience(EarlyStopping):
    """Stop after so many epochs without a better validation loss; a resumed run has the patience of its recipe now."""

    def __init__(self, patience: int) -> None:
        # At the end of an epoch Lightning would ask it after the run folder, whose state would lack the epoch.
        super().__init__("val_loss", patience=patience, check_finite=False, check_on_train_epoch_end=False)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up all but the patience."""
        super().load_state_dict(state_dict | {"patience": self.patience})

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """A run that has lost its patience already is done."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True


def _loader(
    samples: Sequence[Sample], recipe: Recipe, trainer: L.Trainer, repeats: Sequence[int] | None = None
) -> RoadLoader:
    trains = repeats is not None
    augmentation = recipe.augmentation if trains else None
    size_of_epoch = recipe.training_size if trains else None
    dataset = RoadDataset(samples, recipe.data.size, augmentation, recipe.seed, size_of_epoch)
    sampler = EpochSampler(len(dataset), recipe.seed, trains, trainer.global_rank, trainer.world_size, repeats)
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
