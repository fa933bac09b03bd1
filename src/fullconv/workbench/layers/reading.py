"""A picture as one model sees it: computed once, summed up layer by layer, and kept as far as there is room."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt
import torch
from PIL import Image

from fullconv.data.pictures import display_rgb
from fullconv.errors import FullconvError, PackageError
from fullconv.hardware import memory_ran_out
from fullconv.prediction.model import Model
from fullconv.workbench.layers.fields import Axis
from fullconv.workbench.layers.influence import Influence, influence_on
from fullconv.workbench.layers.maps import Maps, Summary, maps_of, summarized
from fullconv.workbench.layers.network import SeenLayer, SeenNetwork, seen_network
from fullconv.workbench.refusals import NotThere, TooLarge

LONGEST = 1024
"""Pixels of the longer side that a network gets here; larger pictures are made smaller."""
KEPT_BYTES = 96 * 2**20
"""Of results kept for one picture. The last layers are kept, which take longest to compute again and are smallest."""
KEPT_READINGS = 3


@dataclass(eq=False)
class Reading:
    """What a model makes of a picture.

    Args:
        model: it is kept open as long as this is.
        title: of the picture, for people. tag: of model and picture; another one for another content.
        shown: the picture for a screen. rows, columns: of the picture and of what the network gets.
        batch: (1, C, H, W) that the network gets.
        net: its layers.
        summaries: by layer.
    """

    model: Model
    title: str
    tag: str
    shown: Image.Image
    rows: Axis
    columns: Axis
    batch: torch.Tensor
    net: SeenNetwork
    summaries: dict[str, Summary]
    _kept: dict[str, Maps]
    _last: tuple[str, Maps] | None = None
    _moved: tuple[tuple[str, tuple[int, int, int]], Influence] | None = None

    def layer(self, name: str) -> SeenLayer:
        """A layer that has something to show.

        Raises:
            NotThere: there is none of that name.
        """
        found = next((seen for seen in self.net.layers if seen.name == name), None)
        if found is None:
            raise NotThere(f"no layer is named {name!r}", where="layer", remedy="look at the list of layers")
        return found

    def at_hand(self, name: str) -> Maps | None:
        """A layer's maps (channels, rows, columns) if they are kept."""
        last = self._last
        return last[1] if last is not None and last[0] == name else self._kept.get(name)

    def maps(self, name: str) -> Maps:
        """A layer's maps; computed again, as far as that layer, where they are not kept."""
        found = self.at_hand(name)
        if found is not None:
            return found
        seen = self.layer(name)
        taken: list[Maps] = []

        def take(this: str, value: torch.Tensor) -> None:
            if this == name:
                taken.append(_kept_maps(value, seen))

        _compute(self.model, self.net, self.batch, take, until=name)
        self._last = (name, taken[0])
        return taken[0]

    def influence(self, name: str, unit: tuple[int, int, int]) -> Influence:
        """How much every pixel moves a unit (channel, row, column); the last answer is kept.

        Raises:
            TooLarge: the gradient takes too much memory.
        """
        kept = self._moved
        if kept is not None and kept[0] == (name, unit):
            return kept[1]
        seen = self.layer(name)
        found: Influence = _guarded(self.model, lambda: influence_on(self.net, seen, self.batch, unit))
        self._moved = ((name, unit), found)
        return found


def read_picture(model: Model, pixels: npt.NDArray[Any], *, title: str, tag: str) -> Reading:
    """Show a picture to a model, and sum up every layer.

    Args:
        model: with one head.
        pixels: (H, W, C) as `Model.checked` returns them.
        title, tag: see `Reading`.

    Raises:
        PackageError: the network fails on this picture.
        TooLarge: there is not enough memory.
    """
    height, width = pixels.shape[:2]
    size = _seen_size(model, height, width)
    batch = model.batch(pixels, size)
    net = _guarded(model, lambda: seen_network(model.net, batch))
    seen = {layer.name: layer for layer in net.layers}
    keep = _kept_layers(net)
    summaries: dict[str, Summary] = {}
    kept: dict[str, Maps] = {}

    def sum_up(name: str, value: torch.Tensor) -> None:
        summaries[name] = summarized(maps_of(value, seen[name].layer.plane))
        if name in keep:
            kept[name] = _kept_maps(value, seen[name])

    _compute(model, net, batch, sum_up)
    return Reading(
        model=model,
        title=title,
        tag=tag,
        shown=_for_screen(pixels),
        rows=Axis(height, size[0]),
        columns=Axis(width, size[1]),
        batch=batch,
        net=net,
        summaries=summaries,
        _kept=kept,
    )


def _seen_size(model: Model, height: int, width: int) -> tuple[int, int]:
    """What the model's own resizing says, made smaller where that is too large for a page."""
    rows, columns = model.card.resize.size(height, width)
    factor = min(1.0, LONGEST / max(rows, columns))
    return max(1, round(rows * factor)), max(1, round(columns * factor))


def _kept_layers(net: SeenNetwork) -> set[str]:
    room, keep = KEPT_BYTES, set[str]()
    for seen in reversed(net.layers):
        if seen.layer.activation_bytes <= min(room, KEPT_BYTES // 4):
            room -= seen.layer.activation_bytes
            keep.add(seen.name)
    return keep


def _kept_maps(value: torch.Tensor, seen: SeenLayer) -> Maps:
    """A copy, since a later layer may change the result in place."""
    maps: Maps = maps_of(value, seen.layer.plane).detach().float().cpu().contiguous().clone().numpy()
    return maps


def _compute(model: Model, net: SeenNetwork, batch: torch.Tensor, visit: Any, *, until: str | None = None) -> None:
    def run() -> None:
        with torch.inference_mode():
            net.run(batch, visit, until=until)

    _guarded(model, run)


def _guarded(model: Model, work: Any) -> Any:
    """Do something with a network that may be anyone's; what goes wrong becomes a sentence."""
    try:
        return work()
    except FullconvError:
        raise
    except Exception as problem:  # a network may fail in any way
        if memory_ran_out(problem):
            raise TooLarge("takes too much memory", where=model.card.name, remedy="choose a smaller image") from None
        said = (str(problem).strip().splitlines() or [type(problem).__name__])[0][:200]
        raise PackageError(
            f"fails on this picture ({said})", where=model.card.name, remedy="choose another picture, or a larger one"
        ) from problem


def _for_screen(pixels: npt.NDArray[Any]) -> Image.Image:
    picture = Image.fromarray(display_rgb(pixels))
    picture.thumbnail((LONGEST, LONGEST), Image.Resampling.BOX)
    return picture


@dataclass
class Readings:
    """The pictures that were looked at lately; may be asked from any thread."""

    _known: OrderedDict[str, Reading] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, model: Model, tag: str) -> Reading | None:
        """The reading of a picture, if it was made with the model as it is now."""
        with self._lock:
            found = self._known.get(tag)
            if found is None or found.model is not model:
                return None
            self._known.move_to_end(tag)
            return found

    def keep(self, reading: Reading) -> Reading:
        """Remember a reading; the one that was not asked for longest goes."""
        with self._lock:
            self._known[reading.tag] = reading
            self._known.move_to_end(reading.tag)
            while len(self._known) > KEPT_READINGS:
                self._known.popitem(last=False)
        return reading
