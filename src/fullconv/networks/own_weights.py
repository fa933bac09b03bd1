"""Start values of a network from the user's own file: as built, or all of them from a weight file."""

from __future__ import annotations

from pathlib import Path

from fullconv.errors import NetworkError
from fullconv.networks.own_file import OwnNetwork
from fullconv.networks.weights import TransferReport
from fullconv.surgery.transplant import transplant

AS_BUILT = "as built"


def load_own_weights(net: OwnNetwork, weights: str) -> TransferReport:
    """Fill a network of one's own, or leave it as its file made it.

    Args:
        net: changed in place.
        weights: "auto" or "random" for what the file's function made, or the path of a weight file of the whole
            network, such as the model.safetensors of an earlier run.

    Raises:
        NetworkError: "imagenet" was asked for, or the file is missing, unreadable or leaves parameters open.
    """
    names = tuple(name for name, _ in net.named_parameters())
    if weights in ("auto", "random"):
        return TransferReport(AS_BUILT, initialised=names)
    if weights == "imagenet":
        raise NetworkError(
            "nothing is known of ImageNet weights for a network of one's own",
            where=net.file.path,
            remedy="load them in its function and say weights=random, or name a weight file of the whole network",
        )
    path = Path(weights).expanduser()
    report = transplant(path, net.head, strict=True)
    changed = (transfer for transfer in report.transfers if transfer.status in ("reshaped", "expanded"))
    taken = {f"head.{name}" for name in report.taken}
    return TransferReport(
        path.name,
        copied=tuple(f"head.{name}" for name in report.copied),
        adapted=tuple((f"head.{transfer.name}", transfer.note) for transfer in changed),
        initialised=tuple(name for name in names if name not in taken),
    )
