"""The fitting itself, by Lightning: what segmentation needs is set here, the mechanics are the library's."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging

from fullconv.data.samples import EpochBatches
from fullconv.training.checkpoints import BEST, AtomicCheckpoints, checkpoint_callbacks, last_checkpoint
from fullconv.training.depthwise import strided_depthwise_in_float32
from fullconv.training.experiment import Plan
from fullconv.training.job import Job
from fullconv.training.loaders import training_loader, validation_loader, workers_without_main
from fullconv.training.losses import inverse_log_weights
from fullconv.training.recording import RunRecorder, StopRequested
from fullconv.training.status import Status
from fullconv.training.task import SegmentationTask

__all__ = ["StopRequested", "fit_network"]


def fit_network(job: Job, status: Status) -> None:
    """Train the job's network in place, from its run's last checkpoint if there is one; it ends with the weights of
    the best epoch.

    Raises:
        StopRequested: Ctrl-C was pressed; checkpoints hold the last whole epoch.
        FloatingPointError: the loss is no finite number any more.
    """
    plan, data, net = job.plan, job.data, job.net
    loader = training_loader(data.train, plan, job.normalization, job.home)
    pixels = [int(count) for count in data.statistics.pixels("train")]
    task = SegmentationTask(
        net.to(memory_format=torch.channels_last),
        job.normalization,
        classes=len(data.classes),
        ignore=data.classes.ignore_index,
        optimization=plan.optimization,
        steps=len(loader) * plan.epochs,
        pretrained=job.transfer.pretrained,
        class_weights=inverse_log_weights(pixels) if plan.class_weights == "inverse-log" else None,
    )
    recorder = RunRecorder(job.directory, data.classes.names, status, job.display)
    checkpoints = job.directory / "checkpoints"
    with _quiet_lightning(), _stop_on_interrupt(recorder):
        trainer = lightning.Trainer(
            accelerator="gpu" if plan.device == "cuda" else "cpu",
            devices=1,
            precision="bf16-mixed" if plan.precision == "bf16" else "32-true",
            max_epochs=plan.epochs,
            check_val_every_n_epoch=plan.validate_every,
            callbacks=[recorder, *_averaging(plan), *checkpoint_callbacks(checkpoints)],
            default_root_dir=job.directory,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            plugins=[AtomicCheckpoints()],
        )
        last = last_checkpoint(job.directory)
        if last is not None:
            # Lightning makes the first iterator before it sets the sampler's epoch.
            step = int(torch.load(last, map_location="cpu", weights_only=True)["global_step"])
            batches = loader.batch_sampler
            assert isinstance(batches, EpochBatches)
            batches.set_epoch(step // len(loader))
        try:
            slow_bf16 = plan.device == "cpu" and plan.precision == "bf16"
            with workers_without_main(), strided_depthwise_in_float32(net, wanted=slow_bf16):
                trainer.fit(
                    task, loader, validation_loader(data.val, plan, job.home), ckpt_path=last, weights_only=True
                )
        except (Exception, SystemExit, KeyboardInterrupt) as problem:
            # A second Ctrl-C, or one that reached a loader process first, comes back in other clothes.
            if recorder.stop_requested:
                raise StopRequested from problem
            raise
    best = torch.load(checkpoints / f"{BEST}.ckpt", map_location="cpu", weights_only=True)
    prefix = "net."
    net.load_state_dict(
        {key.removeprefix(prefix): value for key, value in best["state_dict"].items() if key.startswith(prefix)}
    )


def _averaging(plan: Plan) -> list[Callback]:
    """The moving average of the weights, which is what is then validated and kept; none where the plan has none."""
    decay = plan.optimization.ema
    return [] if decay is None else [EMAWeightAveraging(decay=decay)]


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Lightning's own notes are for its developers; ours say what matters."""
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
def _stop_on_interrupt(recorder: RunRecorder) -> Iterator[None]:
    """Ctrl-C ends the run after the step in hand; a second one ends it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def request(number: int, frame: Any) -> None:
        if recorder.stop_requested:
            raise KeyboardInterrupt
        recorder.stop_requested = True

    before = signal.signal(signal.SIGINT, request)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
