"""Tiles give what the whole image gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fullconv.data.classes import ClassTable, SegmentationClass
from fullconv.data.resizing import Resize
from fullconv.errors import PlanError
from fullconv.networks.catalogue import build_network
from fullconv.networks.normalization import Normalization
from fullconv.prediction.model import Model
from fullconv.prediction.tiled import score_tile, tiles_of
from fullconv.store.package import Geometry, ModelCard
from fullconv.store.recipe import NetworkRecipe


def model_of(network: str, **changes: object) -> Model:
    torch.manual_seed(0)
    net = build_network(network, classes=3)
    for parameter in net.parameters():
        if parameter.ndim == 4 and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    table = ClassTable(
        classes=tuple(SegmentationClass(name=str(i), color=(i, i, i), value=i, codes=(i,)) for i in range(3))
    )
    card = ModelCard(
        name="m",
        network=NetworkRecipe(name=network, classes=3, channels=3),
        classes=table,
        normalization=Normalization.imagenet(),
        geometry=Geometry.of(net),
        **changes,  # type: ignore[arg-type]
    )
    return Model(net, card, device="cpu")


@pytest.mark.parametrize("network", ["fcn8s-squeezenet1_1", "fcn4s-mobilenet_v2-features", "fcn32s-compact"])
@pytest.mark.parametrize("size", [(500, 333), (321, 610)])
def test_tiles_are_parts_of_the_whole(network: str, size: tuple[int, int]) -> None:
    model = model_of(network)
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    whole = model.scores(pixels)
    covered = np.zeros(size, dtype=int)
    tiles = tiles_of(size, model.card.geometry, side=128)
    assert len(tiles) > 6
    for tile in tiles:
        covered[tile.place] += 1
        scores = score_tile(model, pixels, tile)
        torch.testing.assert_close(scores, whole[(slice(None), *tile.place)], rtol=1e-4, atol=1e-4)
    assert (covered == 1).all()


def test_networks_that_read_the_whole_image_are_refused_by_name() -> None:
    geometry = Geometry(stride=8, total_stride=32, obstacles=("features.3.avgpool: reads the whole image",))
    with pytest.raises(PlanError, match=r"reads the whole image \(features.3.avgpool"):
        tiles_of((500, 500), geometry)


def test_models_that_resize_are_refused() -> None:
    model = model_of("fcn8s-squeezenet1_1", resize=Resize(longest_side=64))
    pixels = np.zeros((200, 200, 3), dtype=np.uint8)
    with pytest.raises(PlanError, match="resizes"):
        score_tile(model, pixels, tiles_of((200, 200), model.card.geometry)[0])
