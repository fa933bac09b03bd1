"""A model whose answer is known: bright pixels are "sky", dark ones "ground"."""

from __future__ import annotations

import pytest
import torch

from fullconv.data.classes import ClassTable, SegmentationClass
from fullconv.networks.catalogue import build_network
from fullconv.networks.fcn import FCN
from fullconv.networks.normalization import Normalization
from fullconv.prediction.model import Model
from fullconv.store.package import Geometry, HistoryEntry, ModelCard
from fullconv.store.recipe import NetworkRecipe

TABLE = ClassTable(
    classes=(
        SegmentationClass(name="ground", color=(120, 80, 20), value=7, codes=(7,)),
        SegmentationClass(name="sky", color=(70, 130, 180), value=23, codes=(23,)),
    ),
    ignored=(SegmentationClass(name="void", color=(0, 0, 0), value=0, codes=(0,)),),
)


@pytest.fixture
def card() -> ModelCard:
    return ModelCard(
        name="bright",
        network=NetworkRecipe(name="fcn8s-squeezenet1_1", classes=2, channels=3),
        classes=TABLE,
        normalization=Normalization(scale=255, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        geometry=Geometry(stride=8),
        history=(HistoryEntry.now("made for a test"),),
    )


@pytest.fixture
def net(card: ModelCard) -> FCN:
    """Filters that pass brightness through every layer, and a score that says sky where it is bright."""
    built = build_network(card.network.name, classes=2, channels=3)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.zero_()
        for module in built.features.modules():
            if isinstance(module, torch.nn.Conv2d):
                middle = module.kernel_size[0] // 2
                module.weight[:, :, middle, middle] = 1.0 / module.in_channels
        built.head.scores[-1].weight[1] = 1.0
        built.head.scores[-1].bias[1] = -0.01
    return built.eval()


@pytest.fixture
def model(net: FCN, card: ModelCard) -> Model:
    return Model(net, card, device="cpu")
