"""transfer.json: every parameter of a run's network, and where it came from."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from fullconv.networks.normalization import Normalization
from fullconv.networks.weights import TransferReport
from fullconv.training.checkpoints import last_checkpoint

TRANSFER = "transfer.json"


def transfer_text(report: TransferReport) -> str:
    """transfer.json: every parameter of the network, and where it came from."""
    normalization = None if report.normalization is None else report.normalization.model_dump()
    return json.dumps(asdict(report) | {"normalization": normalization}, indent=1)


def recorded_transfer(directory: Path) -> TransferReport | None:
    """What was transferred when the run began; None where it did not get that far."""
    if last_checkpoint(directory) is None or not (directory / TRANSFER).is_file():
        return None
    content = json.loads((directory / TRANSFER).read_text())
    normalization = content["normalization"]
    return TransferReport(
        source=content["source"],
        copied=tuple(content["copied"]),
        adapted=tuple((name, how) for name, how in content["adapted"]),
        initialised=tuple(content["initialised"]),
        warning=content["warning"],
        normalization=Normalization.model_validate(normalization) if normalization else None,
    )
