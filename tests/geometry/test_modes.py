"""Functions that are told whether the network trains follow its mode after tracing."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fullconv.geometry.geometry import geometry_of
from fullconv.geometry.modes import Moded
from fullconv.geometry.tracing import trace


class Normed(nn.Module):
    """Batch norm and dropout by functions, inside a part of the network."""

    def __init__(self, always: bool | None = None) -> None:
        super().__init__()
        self.conv, self.always = nn.Conv2d(3, 4, 3), always
        self.register_buffer("mean", torch.ones(4))
        self.register_buffer("variance", torch.full((4,), 2.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.batch_norm(self.conv(x), self.mean, self.variance, None, None, self._training, momentum=0.5)
        return F.dropout(x, p=0.5, training=self._training)

    @property
    def _training(self) -> bool:
        return self.training if self.always is None else self.always


@pytest.mark.parametrize("start", [True, False])
def test_functions_follow_the_mode_of_the_traced_network(start: bool) -> None:
    net = nn.Sequential(Normed()).train(start)
    graph = trace(net).graph
    images = torch.randn(2, 3, 9, 9)
    for training in (True, False):
        net[0].mean.fill_(1)
        with torch.no_grad(), torch.random.fork_rng():
            expected, statistics = net.train(training)(images), net[0].mean.clone()
        net[0].mean.fill_(1)
        with torch.no_grad(), torch.random.fork_rng():
            found = graph.train(training)(images)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(net[0].mean, statistics)
        assert bool((statistics != 1).all()) == training


def test_a_network_keeps_its_mode_when_it_is_traced() -> None:
    net = nn.Sequential(Normed(), nn.Conv2d(4, 3, 1), Normed())
    net[2].eval()
    trace(net)
    assert [part.training for part in net] == [True, True, False]
    assert not any(isinstance(part, Moded) for part in net.modules())


@pytest.mark.parametrize("always", [True, False])
def test_functions_that_are_always_told_the_same_stay_so(always: bool) -> None:
    graph = trace(nn.Sequential(Normed(always)).eval()).graph
    assert not any(isinstance(part, Moded) for part in graph.modules())
    kinds = [found.kind for found in geometry_of(nn.Sequential(Normed(always)).eval()).obstacles]
    assert kinds == (["batch-statistics"] if always else [])


def test_batch_norm_by_a_function_is_an_obstacle_in_training_alone() -> None:
    net = nn.Sequential(Normed())
    found = geometry_of(net).obstacles
    assert [(obstacle.name, obstacle.kind) for obstacle in found] == [("0.batch_norm", "batch-statistics")]
    assert geometry_of(net.eval()).is_local
