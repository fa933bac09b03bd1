"""Parts of classifiers of one's own: they keep what the classifier does, in training and in evaluation."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fullconv.geometry.geometry import geometry_of
from fullconv.geometry.measuring import measure_reach
from fullconv.networks.building import fcn
from fullconv.networks.taps import features_of, find_taps


class Dropping(nn.Module):
    """A classifier that drops values by functions, and adds in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 16, 3, 2, 1)
        self.wide, self.classifier = nn.Conv2d(16, 16, 7, padding=3), nn.Linear(16, 5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = F.dropout(self.first(images), 0.5, self.training)
        maps = self.second(F.dropout2d(maps, p=0.3, training=self.training))
        maps.add_(self.wide(maps))
        scores: torch.Tensor = self.classifier(maps.relu().mean((2, 3)))
        return scores


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dilated", [None, 2])
def test_functions_that_drop_values_follow_the_mode(training: bool, dilated: int | None) -> None:
    torch.manual_seed(0)
    net = fcn(Dropping().train(training), classes=2, stride=2 if dilated else 4, dilated=dilated)
    assert net.features.training == training
    for scores in net.head.scores:  # type: ignore[union-attr]
        nn.init.normal_(scores.weight)
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(net.eval()(images), net(images))
        assert not torch.equal(net.train()(images), net(images))


def test_what_is_added_in_place_is_kept() -> None:
    torch.manual_seed(0)
    classifier, images = Dropping().eval(), torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        maps = features_of(classifier, find_taps(classifier))(images)
        scores = classifier.classifier(list(maps.values())[-1].relu().mean((2, 3)))
        torch.testing.assert_close(scores, classifier(images))
    net = fcn(classifier, classes=2, stride=4).eval()
    assert geometry_of(net).reach == measure_reach(net)
