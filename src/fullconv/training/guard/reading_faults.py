"""Samples that cannot be read while a run goes on: one sentence that names the file, from loader processes too.

What a loader process raises reaches the main one as the text of its traceback. A sentence is handed over instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch.utils.data import DataLoader, Dataset

from fullconv.data.samples import Batch
from fullconv.errors import DataError, FullconvError
from fullconv.training.distribution.interrupts import deaf_to_interrupts


class SampleError(DataError):
    """A sample that cannot be used: the run can go on once it is mended."""


@dataclass(frozen=True)
class Fault:
    """Why a sample could not be read, in the parts of an error."""

    problem: str
    where: str | None
    remedy: str | None

    @classmethod
    def of(cls, error: Exception) -> Fault:
        """From what reading raised."""
        if isinstance(error, FullconvError):
            return cls(error.problem, error.where, error.remedy)
        file = getattr(error, "filename", None)
        what = getattr(error, "strerror", None) or str(error)
        return cls(f"cannot be read ({what})", None if file is None else str(file), "put the file back")

    def error(self) -> SampleError:
        """The sentence."""
        return SampleError(self.problem, where=self.where, remedy=self.remedy)


class ReportedSamples(Dataset[Any]):
    """The same samples, with a `Fault` in the place of one that cannot be read."""

    def __init__(self, samples: Any) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, request: Any) -> Batch | Fault:
        try:
            batch: Batch = self.samples[request]
        except (FullconvError, OSError) as error:
            return Fault.of(error)
        return batch


@dataclass(frozen=True)
class ReportedCollate:
    """The same batches; a fault stands for a batch that holds one."""

    collate: Callable[[Sequence[Batch]], Batch]

    def __call__(self, samples: Sequence[Batch | Fault]) -> Batch | Fault:
        for sample in samples:
            if isinstance(sample, Fault):
                return sample
        return self.collate(samples)  # type: ignore[arg-type]


class ReportingLoader(DataLoader[Batch]):
    """Raises in the main process what could not be read in a loader process.

    Raises:
        SampleError: a sample cannot be read; the sentence names its file.
    """

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        with deaf_to_interrupts():  # a loader process would answer with a traceback
            batches = super().__iter__()  # made now, as others' iterators are: it draws a random number
        return _checked(batches)


def _checked(batches: Iterator[Any]) -> Iterator[Batch]:
    for batch in batches:
        if isinstance(batch, Fault):
            raise batch.error()
        yield batch
