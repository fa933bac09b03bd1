"""Networks are followed in several threads, while others compute with them: a server does both all the time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import nn

from fullconv.geometry.geometry import geometry_of

CALL, GETATTR = nn.Module.__call__, nn.Module.__getattr__


class Scaled(nn.Module):
    """With a parameter of its own, which torch.fx asks for by name."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(1))
        self.layers = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(8)))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scaled: torch.Tensor = self.layers(images) * self.factor
        return scaled


def test_networks_are_followed_in_threads_while_others_compute() -> None:
    nets = [Scaled().eval() for _ in range(4)]
    image = torch.ones(1, 3, 16, 16)
    with torch.inference_mode():
        expected = [net(image) for net in nets]
    reach = geometry_of(nets[2]).reach
    over, wrong = threading.Event(), list[str]()

    def compute(place: int) -> None:
        while not over.is_set():
            try:
                with torch.inference_mode():
                    found = nets[place](image)
                if not torch.equal(found, expected[place]):
                    wrong.append("another result")
            except Exception as problem:
                wrong.append(f"{type(problem).__name__}: {problem}")
                return

    computing = [threading.Thread(target=compute, args=(place,)) for place in range(2)]
    for thread in computing:
        thread.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            followed = list(pool.map(geometry_of, nets[2:] * 10))
    finally:
        over.set()
        for thread in computing:
            thread.join()
    assert wrong == []
    assert all(geometry.reach == reach for geometry in followed)
    assert nn.Module.__call__ is CALL
    assert nn.Module.__getattr__ is GETATTR
