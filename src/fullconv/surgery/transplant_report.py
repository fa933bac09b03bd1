"""What became of every parameter of a transplant."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Literal

from fullconv.surgery.matching import By

if TYPE_CHECKING:
    from rich.table import Table

Status = Literal["copied", "reshaped", "expanded", "initialised", "left"]
STATUSES: tuple[Status, ...] = ("copied", "reshaped", "expanded", "initialised", "left")
TAKEN: tuple[Status, ...] = STATUSES[:3]
"""Of these tensors the values were taken over; initialised keeps the target's own; left is a leftover of the source."""


@dataclass(frozen=True)
class Transfer:
    """One parameter or buffer.

    Args:
        name: in the target; of what is left, in the source.
        status: what became of it.
        shape: of the tensor of that name.
        source: where its values came from, None where from nowhere.
        by: what told that the two belong together: name, naming convention or order of definition.
        note: what was done, or why nothing was.
    """

    name: str
    status: Status
    shape: tuple[int, ...]
    source: str | None = None
    by: By | None = None
    note: str = ""


@dataclass(frozen=True)
class TransplantReport:
    """Every parameter and buffer of the target, in its order, and then every leftover of the source.

    Args:
        source: file name, class name or "state dict".
        target: class name.
        transfers: one per tensor.
    """

    source: str
    target: str
    transfers: tuple[Transfer, ...]

    def names(self, *statuses: Status) -> tuple[str, ...]:
        """Names of the tensors that one of these things happened to."""
        return tuple(transfer.name for transfer in self.transfers if transfer.status in statuses)

    @property
    def copied(self) -> tuple[str, ...]:
        return self.names("copied")

    @property
    def reshaped(self) -> tuple[str, ...]:
        return self.names("reshaped")

    @property
    def expanded(self) -> tuple[str, ...]:
        return self.names("expanded")

    @property
    def initialised(self) -> tuple[str, ...]:
        return self.names("initialised")

    @property
    def left(self) -> tuple[str, ...]:
        return self.names("left")

    @property
    def taken(self) -> tuple[str, ...]:
        """Names in the target that got values of the source."""
        return self.names(*TAKEN)

    @property
    def matched_by(self) -> tuple[By, ...]:
        """What told which tensors belong together."""
        ways: tuple[By, ...] = ("name", "convention", "order")
        used = {transfer.by for transfer in self.transfers if transfer.status in TAKEN}
        return tuple(way for way in ways if way in used)

    @property
    def counts(self) -> dict[Status, int]:
        """How many tensors each thing happened to."""
        found = Counter(transfer.status for transfer in self.transfers)
        return {status: found[status] for status in STATUSES}

    def __getitem__(self, name: str) -> Transfer:
        """What became of the target's tensor of that name, or of the source's if the target has none.

        Raises:
            KeyError: neither has one.
        """
        found = next((transfer for transfer in self.transfers if transfer.name == name), None)
        if found is None:
            raise KeyError(name)
        return found

    def __str__(self) -> str:
        counted = ", ".join(f"{count} {status}" for status, count in self.counts.items() if count)
        return f"{self.source} → {self.target}: {counted} (matched by {', '.join(self.matched_by)})"

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "source": self.source,
            "target": self.target,
            "matched_by": list(self.matched_by),
            "counts": dict(self.counts),
            "transfers": [asdict(transfer) | {"shape": list(transfer.shape)} for transfer in self.transfers],
        }

    def table(self) -> Table:
        """One line per tensor, for `rich`."""
        from rich.table import Table

        table = Table("parameter", "shape", "status", "from", "note", title=str(self), header_style="bold")
        for transfer in self.transfers:
            note = "; ".join(part for part in (_said(transfer.by), transfer.note) if part)
            shape = "×".join(str(size) for size in transfer.shape) or "1"
            table.add_row(transfer.name, shape, transfer.status, transfer.source or "", note)
        return table

    def values(self, *statuses: Status) -> int:
        """How many numbers the tensors of these statuses hold."""
        return sum(prod(transfer.shape) for transfer in self.transfers if transfer.status in statuses)


def _said(by: By | None) -> str:
    return f"by {by}" if by in ("convention", "order") else ""
