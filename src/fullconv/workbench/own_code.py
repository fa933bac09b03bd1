"""Networks from Python files: code of whoever wrote them, which runs only where the workbench was started for that."""

from __future__ import annotations

from pathlib import Path

from fullconv.errors import FullconvError, PlanError
from fullconv.files import read_document
from fullconv.networks.own_file import is_own_file
from fullconv.training.runs import PLAN_FILE
from fullconv.training.settings.experiment import Experiment
from fullconv.workbench.refusals import Forbidden


def refuse_code(network: str, *, allowed: bool) -> None:
    """Raise where a network is from a Python file and that is not allowed.

    Args:
        network: its name. allowed: what `--allow-code` said.

    Raises:
        Forbidden: it may not be run.

    >>> refuse_code("fcn8s-vgg16", allowed=False)
    >>> refuse_code("/nets/my_net.py:build", allowed=True)
    """
    if is_own_file(network) and not allowed:
        raise Forbidden(
            "networks from Python files are not allowed here", remedy="start the workbench with --allow-code"
        )


def refuse_code_of(run: Path, *, allowed: bool) -> None:
    """The same for the network of a run; one whose plan cannot be read has none that could be run.

    Raises:
        Forbidden: it may not be run.
    """
    try:
        network = read_document(run / PLAN_FILE, Experiment, PlanError).network
    except FullconvError:
        return
    refuse_code(network, allowed=allowed)
