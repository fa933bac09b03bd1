"""The fitting itself, by Lightning: what segmentation needs is set here, the mechanics are the library's."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging
from lightning.pytorch.strategies import DDPStrategy

from fullconv.data.dataset import Dataset
from fullconv.data.orders import EpochBatches
from fullconv.networks.own_file import OwnNetwork
from fullconv.networks.reference import AnyFCN
from fullconv.networks.score_grid import ScoreGrid
from fullconv.training.checkpoints import BEST, AtomicCheckpoints, checkpoint_callbacks, last_checkpoint
from fullconv.training.depthwise import strided_depthwise_in_float32
from fullconv.training.distribution.alike import KeptAlike
from fullconv.training.distribution.interrupts import Terminated
from fullconv.training.distribution.processes import GroupEnvironment, Processes
from fullconv.training.guard.watch import Guard
from fullconv.training.head_weights import weights_of
from fullconv.training.heads import AnyObjective, HeadsObjective, lookups_of, tables_of
from fullconv.training.job import Job
from fullconv.training.loaders import training_loader, validation_loader, workers_without_main
from fullconv.training.objective import Objective
from fullconv.training.patience import Patience
from fullconv.training.progress_pictures import ProgressPictures
from fullconv.training.randomness import DrawnAnew
from fullconv.training.recording import RunRecorder
from fullconv.training.settings.experiment import Plan
from fullconv.training.status import Status
from fullconv.training.stopping import StopRequested
from fullconv.training.task import SegmentationTask
from fullconv.training.trackers import make_trackers

__all__ = ["fit_network", "load_best", "objective_of", "quiet_lightning"]


def fit_network(job: Job, status: Status, processes: Processes) -> None:
    """Train the job's network in place, from its run's last checkpoint if there is one; checkpoints hold the result.

    Args:
        job: as in all processes.
        status: as it stands.
        processes: that have joined their group, where there are several.

    Raises:
        StopRequested: Ctrl-C was pressed; checkpoints hold the last whole epoch.
        Terminated: SIGTERM came; likewise.
        PlanError, DataError: a number is none any more, or a sample cannot be used; the sentence says why.
    """
    plan, data = job.plan, job.data
    net = job.net if processes.count == 1 else deepcopy(job.net)  # synchronised batch norm would stay in it
    share = {"rank": processes.rank, "processes": processes.count}
    loader = training_loader(data.train, plan, job.normalization, job.home, job.grid, **share)
    steps_per_epoch = -(-len(loader) // plan.optimization.accumulate)
    last = last_checkpoint(job.directory)
    # What a checkpoint holds besides, `fit` reads again.
    done = 0 if last is None else int(torch.load(last, map_location="cpu", weights_only=True)["global_step"])
    task = SegmentationTask(
        net.to(memory_format=torch.channels_last),
        job.normalization,
        objective_of(plan, data, job.grid),
        classes=len(data.classes),
        optimization=plan.optimization,
        steps=steps_per_epoch * plan.epochs,
        pretrained=job.transfer.pretrained,
    )
    recorder = RunRecorder(
        job.directory,
        data.classes.names,
        status,
        job.display,
        batch_size=plan.batch_size,
        processes=processes,
        heads={name: table.names for name, table in list(tables_of(plan.heads or {}, data.classes).items())[1:]},
    )
    guard = Guard(
        job,
        steps=steps_per_epoch * plan.epochs,
        warn=recorder.warn,
        measured=recorder.measured,
        heads=recorder.measured_heads,
    )
    recorder.status = recorder.status.model_copy(update={"zero_score_loss": guard.expected})
    checkpoints = job.directory / "checkpoints"
    with quiet_lightning(), _stop_on_signals(recorder):
        if processes.first:
            recorder.trackers = make_trackers(plan, job.directory, step=done)
        trainer = lightning.Trainer(
            **_placement(job, processes),
            precision="bf16-mixed" if plan.precision == "bf16" else "32-true",
            max_epochs=plan.epochs,
            check_val_every_n_epoch=plan.validate_every,
            accumulate_grad_batches=plan.optimization.accumulate,
            gradient_clip_val=plan.optimization.clip,
            callbacks=[
                DrawnAnew(plan.seed, rank=processes.rank),
                *([KeptAlike(processes)] if processes.count > 1 else []),
                recorder,
                guard,
                ProgressPictures(job.directory, data.val, first=processes.first),
                *_averaging(plan),
                *([] if plan.patience is None else [Patience(plan.patience, job.display.say)]),
                *checkpoint_callbacks(checkpoints),
            ],
            default_root_dir=job.directory,
            logger=recorder.trackers.loggers,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            plugins=[AtomicCheckpoints()],
        )
        # Lightning makes the first iterator before it sets the sampler's epoch.
        batches = loader.batch_sampler
        assert isinstance(batches, EpochBatches)
        batches.set_epoch(done // steps_per_epoch)
        try:
            slow_bf16 = plan.device == "cpu" and plan.precision == "bf16"
            with workers_without_main(), strided_depthwise_in_float32(net, wanted=slow_bf16):
                validation = validation_loader(data.val, plan, job.home, **share)
                trainer.fit(task, loader, validation, ckpt_path=last, weights_only=True)
        except FloatingPointError as problem:
            raise guard.explained(problem) from problem
        except (Exception, SystemExit, KeyboardInterrupt) as problem:
            # A second Ctrl-C, or one that reached a loader process first, comes back in other clothes; so does SIGTERM.
            if recorder.terminated:
                raise Terminated from problem
            if recorder.stop_requested:
                raise StopRequested from problem
            raise
        finally:
            recorder.trackers.end(done=trainer.state.finished)


def load_best(net: AnyFCN, directory: Path) -> None:
    """Give a network the weights of the best epoch of its run."""
    best = torch.load(directory / "checkpoints" / f"{BEST}.ckpt", map_location="cpu", weights_only=True)
    prefix = "net."
    net.load_state_dict(
        {key.removeprefix(prefix): value for key, value in best["state_dict"].items() if key.startswith(prefix)}
    )


def objective_of(plan: Plan, data: Dataset, grid: ScoreGrid) -> AnyObjective:
    """The loss of a network on a batch, with class weights from the training images."""
    classes, heads = data.classes, plan.heads
    tables = [classes] if heads is None else list(tables_of(heads, classes).values())
    each = [
        Objective(plan.loss, plan.regime, grid, classes=len(table), ignore=table.ignore_index, weights=weights)
        for table, weights in zip(tables, weights_of(plan, data), strict=True)
    ]
    return each[0] if heads is None else HeadsObjective(tuple(heads), each, lookups_of(heads, classes))


def _placement(job: Job, processes: Processes) -> dict[str, Any]:
    """Where the trainer computes, and with whom."""
    cuda = job.plan.device == "cuda"
    if processes.count == 1:
        return {"accelerator": "gpu" if cuda else "cpu", "devices": 1}
    strategy = DDPStrategy(
        cluster_environment=GroupEnvironment(processes),
        process_group_backend="nccl" if cuda else "gloo",
        broadcast_buffers=False,  # a collective call that processes without a validation batch would miss
        gradient_as_bucket_view=True,
        # Upsampling that is learned has no gradient where the loss is read before it.
        find_unused_parameters=job.plan.regime.loss_at in ("cells", "center", "inside")
        or isinstance(job.net, OwnNetwork),
    )
    return {
        "accelerator": "gpu" if cuda else "cpu",
        "devices": processes.local_count,
        "num_nodes": processes.nodes,
        "strategy": strategy,
        "sync_batchnorm": cuda and job.plan.optimization.batch_norm == "batch",
    }


def _averaging(plan: Plan) -> list[Callback]:
    """The moving average of the weights, which is what is then validated and kept; none where the plan has none."""
    decay = plan.optimization.ema
    return [] if decay is None else [EMAWeightAveraging(decay=decay)]


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """While it lasts, Lightning's own notes, which are for its developers, are not shown; ours say what matters."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "lightning")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _stop_on_signals(recorder: RunRecorder) -> Iterator[None]:
    """Ctrl-C or SIGTERM ends the run after the step in hand; a second Ctrl-C ends it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def request(number: int, frame: Any) -> None:
        if recorder.stop_requested:
            raise KeyboardInterrupt
        recorder.stop_requested = True

    def end(number: int, frame: Any) -> None:
        recorder.stop_requested = recorder.terminated = True

    before = {signal.SIGINT: signal.signal(signal.SIGINT, request), signal.SIGTERM: signal.signal(signal.SIGTERM, end)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
