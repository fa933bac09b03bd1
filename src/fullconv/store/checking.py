"""Packages from elsewhere: whether all is there and fits, without running or computing anything of theirs."""

from __future__ import annotations

from pathlib import Path

from fullconv.errors import FullconvError, NetworkError, PackageError
from fullconv.networks.backbones import without_weights
from fullconv.networks.own_file import COPY, OwnFile
from fullconv.plain_yaml import refuse_references
from fullconv.store.package import CARD, WEIGHTS, ModelCard, read_card
from fullconv.store.recipe import NetworkRecipe
from fullconv.store.tensor_files import Shapes, sides_of, tensor_shapes

LARGEST_CARD = 4 * 2**20
LARGEST_CODE = 2**20
MOST_CLASSES = 65_534
MOST_CHANNELS = 10_000
_AGAIN = "copy the package again from where it came"


def checked_package(directory: Path) -> ModelCard:
    """The description of a package whose files fit each other.

    The network is built without memory for its weights and compared with the names and shapes in the weight file; of a
    network from a Python file nothing is run, and only the file is compared with what the description says of it.

    Args:
        directory: of the package.

    Raises:
        PackageError: a file is missing, damaged or too large, or they do not fit each other.
    """
    card = _plain_card(directory / CARD)
    shapes = tensor_shapes(directory / WEIGHTS)
    _check_numbers(card, shapes, directory)
    if card.network.code is not None:
        _check_code(card.network, directory / COPY)
        return card
    try:
        expected = without_weights(card.network.build).state_dict()
    except (FullconvError, RuntimeError, ValueError, TypeError) as problem:
        said = problem.problem if isinstance(problem, FullconvError) else str(problem)[:200]
        raise PackageError(f"its network cannot be built: {said}", where=directory / CARD, remedy=_AGAIN) from problem
    wanted = {name: tuple(value.shape) for name, value in expected.items()}
    odd = [name for name in {*wanted, *shapes} if wanted.get(name) != shapes.get(name)]
    if odd:
        problem_ = f"{len(odd)} tensors do not fit {card.network.name}, such as {min(odd)}"
        raise PackageError(problem_, where=directory / WEIGHTS, remedy=_AGAIN)
    return card


def _plain_card(path: Path) -> ModelCard:
    """The card of a small file without references."""
    if not path.is_file():
        raise PackageError("is no model package", where=path.parent, remedy=f"give a folder that holds {CARD}")
    refuse_references(path, largest=LARGEST_CARD, error=PackageError, remedy=_AGAIN)
    return read_card(path.parent)


def _check_numbers(card: ModelCard, shapes: Shapes, directory: Path) -> None:
    """Counts that the files themselves bear out, before anything is made in their size."""
    tables = card.classes if isinstance(card.classes, dict) else {"": card.classes}
    counts = card.network.classes if isinstance(card.network.classes, dict) else {"": card.network.classes}
    sides = sides_of(shapes.values())
    for name, count in counts.items():
        if len(tables[name]) != count:
            said = f"the network scores {count} classes, and {len(tables[name])} are named"
            raise PackageError(said, where=directory / CARD, remedy=_AGAIN)
        if count > MOST_CLASSES or (card.network.code is None and not any(side >= count for side in sides)):
            raise PackageError(f"no weights are there for {count} classes", where=directory / WEIGHTS, remedy=_AGAIN)
    if card.network.channels > MOST_CHANNELS or card.network.members > max(1, len(shapes)):
        raise PackageError("no weights are there for such a network", where=directory / WEIGHTS, remedy=_AGAIN)
    if len(card.normalization.mean) not in (1, card.network.channels):
        said = f"{card.network.channels} bands, and the normalization of {len(card.normalization.mean)}"
        raise PackageError(said, where=directory / CARD, remedy=_AGAIN)


def _check_code(recipe: NetworkRecipe, path: Path) -> None:
    assert recipe.code is not None
    if not path.is_file() or path.stat().st_size > LARGEST_CODE:
        raise PackageError("the network's code is missing or too large", where=path, remedy=_AGAIN)
    try:
        found = OwnFile.read(f"{path}:{recipe.code.function}")
    except NetworkError as problem:
        raise PackageError("the network's code cannot be read", where=path, remedy=_AGAIN) from problem
    if found.sha256 != recipe.code.sha256:
        raise PackageError("is not the code that the model was saved with", where=path, remedy=_AGAIN)
