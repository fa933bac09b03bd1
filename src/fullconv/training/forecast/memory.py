"""How much memory a training step takes, from the network's own shapes, before anything runs.

The step is gone through twice with tensors that have a shape and no content, for two sizes of the batch. Every storage
it takes is then known as so many bytes, and so many more per view: parameters, gradients, the optimiser's state, what
is kept for the backward pass with its layout and precision, logits, losses and all that lives for a moment. The steps
of a batch of any size follow, laid out as the allocator would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from fullconv.collector import collector_at_rest
from fullconv.data.dataset import Dataset
from fullconv.errors import NetworkError
from fullconv.networks.checkpointing import divisible
from fullconv.networks.reference import AnyFCN
from fullconv.networks.score_grid import ScoreGrid
from fullconv.training.depthwise import strided_depthwise_in_float32
from fullconv.training.engine import objective_of
from fullconv.training.forecast.heap import LARGEST_IN_HEAP, held_at_most
from fullconv.training.forecast.single_step import SingleStep, blank_batch
from fullconv.training.forecast.storages import StorageLedger, on_shapes_alone, without_content
from fullconv.training.heads import AnyObjective
from fullconv.training.settings.experiment import Plan

TRACED_BATCHES = (2, 3)
TRACED_STEPS = 2
"""The second has the optimiser's state from its beginning, and finds the heap as the first left it."""
HEAP_FACTOR = 1.25
CHURN_FACTOR = 2.0
"""Fitted: of what comes and goes in the heap where stages are computed again, which leaves more gaps."""
OVERHEAD = 16 * 2**20
"""Fitted: what torch holds over the laid-out blocks, see benchmarks/results/memory_plan.md."""
CUDA_FACTOR = 1.1
CUDA_WORKSPACE = 256 * 2**20


@dataclass(frozen=True)
class StepMemory:
    """Bytes that training takes over the idle process.

    Args:
        batch_size: views in a step.
        parameters: with buffers, such as the statistics of batch norm.
        gradients: of what learns.
        optimizer: its state.
        average: the moving average of the weights, if there is one.
        batch: images and labels.
        activations: what the forward pass keeps for the backward pass.
        moment: what lives beside these when most is alive.
        allocator: gaps that the allocator holds.
        validation: all of it while a whole image is validated.

    """

    batch_size: int
    parameters: int
    gradients: int
    optimizer: int
    average: int
    batch: int
    activations: int
    moment: int
    allocator: int
    validation: int

    @property
    def training(self) -> int:
        """The peak of a training step."""
        return (
            self.parameters
            + self.gradients
            + self.optimizer
            + self.average
            + self.batch
            + self.activations
            + self.moment
            + self.allocator
        )

    @property
    def total(self) -> int:
        """The peak of the whole run."""
        return max(self.training, self.validation)


@dataclass(frozen=True)
class _Trace:
    """Storages in their order, (number, bytes, more bytes per view), or (number, -1, 0) for an end.

    Args:
        marks: places in it, by name.
    """

    events: tuple[tuple[int, int, int], ...]
    marks: Mapping[str, int]

    def of(self, views: int) -> list[tuple[int, int]]:
        """For so many views."""
        return [(number, fixed if fixed < 0 else fixed + views * more) for number, fixed, more in self.events]

    @classmethod
    def joined(cls, traces: Sequence[tuple[list[tuple[int, int]], dict[str, int]]]) -> _Trace:
        """From the traces of two batch sizes."""
        (few, marks), (more, _) = traces
        if [number for number, _ in few] != [number for number, _ in more]:
            raise NetworkError("takes other steps for other batch sizes, so that its memory cannot be told beforehand")
        step = TRACED_BATCHES[1] - TRACED_BATCHES[0]
        events = []
        for (number, low), (_, high) in zip(few, more, strict=True):
            slope = 0 if low < 0 else (high - low) // step
            events.append((number, low if low < 0 else low - slope * TRACED_BATCHES[0], slope))
        return cls(tuple(events), marks)


class MemoryForecast:
    """The memory of training a network, for any batch size.

    Args:
        net: of which only the shapes are used; it is left as it is.
        plan: gives crop, loss, regime, optimiser, precision, checkpointing and device.
        grid: of the network's scores.
        channels: bands of the images.
        classes: how many.
        objective: the loss; that of the plan on one set of classes if not given.
        dtype: of the images.
        ignore: the label that counts nowhere.
        pretrained: whether the backbone was transferred, and trains as `optimization.backbone` says.
        validated: (height, width) of the largest validation image; the training views' if not given.

    Raises:
        NetworkError: the network cannot be gone through by its shapes alone.
    """

    def __init__(
        self,
        net: AnyFCN,
        plan: Plan,
        grid: ScoreGrid,
        *,
        channels: int,
        classes: int,
        dtype: str = "uint8",
        ignore: int = 255,
        pretrained: bool = False,
        validated: tuple[int, int] | None = None,
        objective: AnyObjective | None = None,
    ) -> None:
        self.net = net
        self.plan = plan.model_copy(update={"device": "cpu"})
        self.on_gpu = plan.device == "cuda"
        self.grid = grid
        self.facts: dict[str, Any] = {
            "channels": channels,
            "classes": classes,
            "ignore": ignore,
            "objective": objective,
        }
        self.pretrained = pretrained
        self.dtype = dtype
        self.validated = validated or plan.crop

    def of(self, batch_size: int) -> StepMemory:
        """For steps of so many views."""
        events = self._training.of(batch_size)
        marks = self._training.marks
        parameters = _alive(events[: marks["state"]])
        before, with_batch, after = (_alive(events[: marks[name]]) for name in ("step", "batch", "scored"))
        batch = with_batch - before
        parts = {
            "parameters": parameters,
            "gradients": marks["gradients"],
            "optimizer": before - parameters - marks["gradients"],
            "average": parameters if self.plan.optimization.ema is not None else 0,
        }
        activations = after - with_batch
        peak = _peak(events)
        moment = max(0, peak - before - batch - activations)
        held = self._held(events, peak, events[: marks["step"]] if self.plan.checkpointing else None)
        beside = before + parts["average"]
        images = max(1, batch_size * self.plan.crop[0] * self.plan.crop[1] // (self.validated[0] * self.validated[1]))
        seen = self._validation.of(images)
        validation = beside - parameters + self._held(seen, _peak(seen))
        gaps = held - before - batch - activations - moment
        return StepMemory(
            batch_size, **parts, batch=batch, activations=activations, moment=moment, allocator=gaps,
            validation=validation,
        )  # fmt: skip

    def with_crop(self, crop: tuple[int, int]) -> MemoryForecast:
        """The same for views of another size."""
        return self._with(crop=crop)

    @property
    def gains_by_checkpointing(self) -> bool:
        """Whether there are activations of a backbone that are kept now and could be computed again."""
        frozen = self.pretrained and self.plan.optimization.backbone == "frozen"
        return divisible(self.net) and not self.plan.checkpointing and not frozen

    def with_checkpointing(self) -> MemoryForecast:
        """The same where only the ends of the backbone's stages are kept for the backward pass."""
        return self._with(checkpointing=True)

    def _with(self, **changes: Any) -> MemoryForecast:
        plan = self.plan.model_copy(update={"device": "cuda" if self.on_gpu else "cpu", **changes})
        facts = self.facts | {"dtype": self.dtype, "pretrained": self.pretrained, "validated": self.validated}
        other = MemoryForecast(self.net, plan, self.grid, **facts)
        other._validation = self._validation
        return other

    def largest_batch(self, room: int, *, most: int = 4096) -> int:
        """Views in a step that take no more than so many bytes; 0 where not even one fits."""
        if self.of(1).total > room:
            return 0
        fits, too_many = 1, 2
        while too_many <= most and self.of(too_many).total <= room:
            fits, too_many = too_many, 2 * too_many
        too_many = min(too_many, most + 1)
        while too_many - fits > 1:
            middle = (fits + too_many) // 2
            fits, too_many = (middle, too_many) if self.of(middle).total <= room else (fits, middle)
        return fits

    @cached_property
    def _training(self) -> _Trace:
        return _Trace.joined([self._traced(self._train, count) for count in TRACED_BATCHES])

    @cached_property
    def _validation(self) -> _Trace:
        return _Trace.joined([self._traced(self._validate, count) for count in TRACED_BATCHES])

    def _held(
        self, events: Sequence[tuple[int, int]], peak: int, lasting: Sequence[tuple[int, int]] | None = None
    ) -> int:
        """What the allocator takes from the system for these blocks; `lasting` ends with what stays all the time."""
        if self.on_gpu:
            return round(CUDA_FACTOR * peak) + CUDA_WORKSPACE
        heap, mapped = held_at_most(events)
        grown = HEAP_FACTOR * heap
        if lasting is not None:
            stays = min(heap, _alive(lasting, at_most=LARGEST_IN_HEAP))
            grown = stays + CHURN_FACTOR * (heap - stays)
        return max(peak, round(grown) + mapped) + OVERHEAD

    def _traced(self, work: Callable[..., None], count: int) -> tuple[list[tuple[int, int]], dict[str, int]]:
        mode = FakeTensorMode(allow_non_fake_inputs=True)
        net = without_content(self.net, mode)
        step = SingleStep(net, self.plan, self.grid, pretrained=self.pretrained, **self.facts)
        ledger = StorageLedger()
        marks: dict[str, int] = {}
        ledger.note([*net.parameters(), *net.buffers()])
        marks["state"] = len(ledger.events)
        wide = self.plan.precision == "bf16" and not self.on_gpu
        with collector_at_rest(), strided_depthwise_in_float32(net, wanted=wide):
            try:
                work(step, ledger, mode, marks, count)
            except (RuntimeError, NotImplementedError, TypeError) as problem:
                what = str(problem).splitlines()[0][:200] if str(problem) else type(problem).__name__
                raise NetworkError(f"cannot be followed by its shapes alone ({what})") from problem
            return ledger.in_order(marks["end"]), marks

    def _train(
        self, step: SingleStep, ledger: StorageLedger, mode: FakeTensorMode, marks: dict[str, int], count: int
    ) -> None:
        channels = self.facts["channels"]
        seeds = torch.zeros(1, dtype=torch.int64)  # what is drawn for one view stands for that of all
        for _ in range(TRACED_STEPS):
            with on_shapes_alone(mode, ledger):
                marks["step"] = len(ledger.events)
                batch = blank_batch(count, self.plan.crop, channels=channels, dtype=self.dtype)._replace(seeds=seeds)
                marks["batch"] = len(ledger.events)
                loss = step.forward(batch)
                marks["scored"] = len(ledger.events)
                step.update(loss)
                del loss, batch
        marks["end"] = len(ledger.events)
        learning = [parameter for parameter in step.task.net.parameters() if parameter.requires_grad]
        marks["gradients"] = sum(parameter.numel() * parameter.element_size() for parameter in learning)

    def _validate(
        self, step: SingleStep, ledger: StorageLedger, mode: FakeTensorMode, marks: dict[str, int], count: int
    ) -> None:
        with on_shapes_alone(mode, ledger):
            channels = self.facts["channels"]
            step.validate(blank_batch(count, self.validated, channels=channels, dtype=self.dtype, colors=False))
        marks["end"] = len(ledger.events)


def memory_of(plan: Plan, data: Dataset, net: AnyFCN, grid: ScoreGrid, *, pretrained: bool) -> MemoryForecast:
    """The memory of a run on a dataset, for any batch size."""
    sizes = [plan.resize.size(*size) for size in data.val.sizes]
    return MemoryForecast(
        net,
        plan,
        grid,
        channels=data.channels,
        classes=len(data.classes),
        dtype=data.dtype,
        ignore=data.classes.ignore_index,
        objective=objective_of(plan, data, grid),
        pretrained=pretrained,
        validated=max(sizes, key=lambda size: size[0] * size[1]),
    )


def _alive(events: Sequence[tuple[int, int]], *, at_most: float = inf) -> int:
    """Bytes alive at the end, of blocks up to a size."""
    sizes: dict[int, int] = {}
    for number, size in events:
        if size < 0:
            sizes.pop(number)
        else:
            sizes[number] = size
    return sum(size for size in sizes.values() if size <= at_most)


def _peak(events: Sequence[tuple[int, int]]) -> int:
    """Most bytes alive at one time."""
    return max(_running(events))


def _running(events: Sequence[tuple[int, int]]) -> Iterator[int]:
    sizes: dict[int, int] = {}
    alive = 0
    for number, size in events:
        alive += -sizes.pop(number) if size < 0 else size
        if size >= 0:
            sizes[number] = size
        yield alive
