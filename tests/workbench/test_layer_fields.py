"""Who reads what, against what a network really reads: NaNs that go in come out, gradients lead back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fullconv.data.resizing import resize_image
from fullconv.geometry.fields import Field
from fullconv.geometry.measuring import measure_reach
from fullconv.networks.catalogue import build_network
from fullconv.workbench.layers.fields import Axis, read_by, units_reading
from fullconv.workbench.layers.influence import influence_on
from fullconv.workbench.layers.maps import maps_of
from fullconv.workbench.layers.network import HookedNetwork, SeenLayer, SeenNetwork, TracedNetwork, seen_network

SIZE = (45, 61)


def plain_net() -> nn.Module:
    """Strides, padding, dilation, pooling that rounds up, a transposed convolution."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 5, stride=2, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.Conv2d(4, 4, (3, 1), padding=(2, 0), dilation=(2, 1)),
        nn.ConvTranspose2d(4, 4, 4, stride=2, padding=1),
        nn.Conv2d(4, 2, 3),
    ).eval()


def grouped_net() -> nn.Module:
    torch.manual_seed(3)
    return build_network("fcn8s-compact", classes=3).eval()


NETS: dict[str, Callable[[], nn.Module]] = {"plain": plain_net, "compact": grouped_net}


def struck(net: SeenNetwork, batch: torch.Tensor) -> dict[str, torch.Tensor]:
    """Which units of every layer are NaN: (rows, columns) of any channel."""
    planes = {seen.name: seen.layer.plane for seen in net.layers}
    found: dict[str, torch.Tensor] = {}
    with torch.inference_mode():
        net.run(batch, lambda name, value: found.__setitem__(name, maps_of(value, planes[name]).isnan().any(0)))
    return found


@pytest.mark.parametrize("name", NETS)
def test_units_that_read_a_pixel_are_those_that_a_nan_in_it_reaches(name: str) -> None:
    torch.manual_seed(0)
    image = torch.rand(1, 3, *SIZE)
    net = seen_network(NETS[name](), image)
    rows, columns = (Axis(side, side) for side in SIZE)
    for pixel in ((0, 0), (20, 31), (44, 60), (7, 50), (22, 3)):
        broken = image.clone()
        broken[0, 1, pixel[0], pixel[1]] = float("nan")
        reached = struck(net, broken)
        for seen in net.layers:
            plane = seen.layer.plane
            assert plane is not None
            shape = reached[seen.name].shape
            expected = torch.zeros(shape, dtype=torch.bool)
            for top, bottom in units_reading(plane.rows, shape[0], pixel[0], rows):
                for left, right in units_reading(plane.cols, shape[1], pixel[1], columns):
                    expected[top : bottom + 1, left : right + 1] = True
            if seen.repeats:
                _check_edges(seen, reached[seen.name] & ~expected, pixel)
            elif name == "plain" and seen.name in ("3", "4", "5"):  # a dilated window leaves rows out of its field
                assert bool((expected | ~reached[seen.name]).all())
            else:
                assert torch.equal(expected, reached[seen.name]), (seen.name, pixel)


def _check_edges(seen: SeenLayer, more: torch.Tensor, pixel: tuple[int, int]) -> None:
    """Units that read a pixel beyond their field: only where it goes over the image's edge, as far as is said."""
    plane = seen.layer.plane
    assert plane is not None
    for row, column in more.nonzero().tolist():
        reads = (read_by(plane.rows, row, Axis(SIZE[0], SIZE[0])), read_by(plane.cols, column, Axis(SIZE[1], SIZE[1])))
        assert any(read.before or read.after for read in reads), (seen.name, row, column)
        for read, place in zip(reads, pixel, strict=True):
            assert read.pixels is not None
            assert read.pixels[0] - seen.repeats <= place <= read.pixels[1] + seen.repeats, (seen.name, row, column)


@pytest.mark.parametrize("name", NETS)
def test_the_field_of_a_unit_is_where_its_gradient_lies(name: str) -> None:
    """With positive weights, and means in the place of maxima, no path cancels: all that is read has a gradient."""
    net = NETS[name]()
    for module in net.modules():
        for parameter in module.parameters(recurse=False):
            nn.init.constant_(parameter, 0.1)
        for child, old in list(module.named_children()):
            if isinstance(old, nn.MaxPool2d):
                window = (old.kernel_size, old.stride, old.padding)
                module.set_submodule(child, nn.AvgPool2d(*window, ceil_mode=old.ceil_mode))
            if isinstance(old, nn.ReLU):
                module.set_submodule(child, nn.Identity())
    batch = torch.rand(1, 3, *SIZE)
    seen_net = seen_network(net.eval(), batch)
    rows, columns = (Axis(side, side) for side in SIZE)
    for seen in seen_net.layers:
        plane, shape = seen.layer.plane, seen.layer.shape
        assert plane is not None
        for row, column in ((0, 0), (shape[1] // 2, shape[2] // 2), (shape[1] - 1, shape[2] - 2)):
            found = influence_on(seen_net, seen, batch, (0, row, column)).amounts.nonzero()
            high, wide = read_by(plane.rows, row, rows), read_by(plane.cols, column, columns)
            if seen.repeats and any((high.before, high.after, wide.before, wide.after)):
                continue
            if not len(found[0]):
                assert high.pixels is None or wide.pixels is None
                continue
            assert (found[0].min(), found[0].max()) == high.pixels, (seen.name, row, column)
            assert (found[1].min(), found[1].max()) == wide.pixels, (seen.name, row, column)


def test_fields_of_the_result_agree_with_the_measured_reach() -> None:
    net = grouped_net()
    seen = seen_network(net, torch.zeros(1, 3, 400, 400)).layers[-1]
    plane = seen.layer.plane
    assert plane is not None
    axis = Axis(400, 400)
    reads = [read_by(plane.rows, pixel, axis) for pixel in range(200, 232)]
    ends = [(pixel, read.pixels) for pixel, read in enumerate(reads, 200) if read.pixels is not None]
    measured = measure_reach(net)
    assert max(pixel - first for pixel, (first, _) in ends) == measured.up
    assert max(last - pixel for pixel, (_, last) in ends) == measured.down


@settings(max_examples=60, deadline=None)
@given(st.integers(8, 90), st.integers(4, 90), st.data())
def test_pixels_that_a_resized_image_is_made_of_are_those_whose_nan_reaches_it(
    pixels: int, seen: int, data: st.DataObject
) -> None:
    pixel = data.draw(st.integers(0, pixels - 1))
    line = torch.zeros(1, 1, pixels)
    line[0, 0, pixel] = 1.0
    resized = resize_image(line.expand(1, 4, pixels).contiguous(), (4, seen))[0, 0]
    reached = set((resized > 1e-5).nonzero().flatten().tolist())  # places are rounded: a zero may be a millionth
    axis = Axis(pixels, seen)
    found = axis.seen_with(pixel)
    expected = set() if found is None else set(range(found[0], found[1] + 1))
    assert reached <= expected
    for place in expected - reached:  # at the very end of the window, where its weight is zero
        first, last = axis.pixels_of((place, place))
        assert pixel in (first, last)
    for place in range(seen):
        first, last = axis.pixels_of((place, place))
        assert (first <= pixel <= last) == (place in expected)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(0, 2)), min_size=1, max_size=4),
    st.integers(20, 60),
    st.data(),
)
def test_a_unit_reads_a_pixel_exactly_if_the_pixel_is_read_by_the_unit(
    windows: list[tuple[int, int, int]], pixels: int, data: st.DataObject
) -> None:
    field = Field.image()
    for kernel, stride, padding in windows:
        field = field.window(kernel, stride=stride, padding=padding)
    axis = Axis(pixels, data.draw(st.integers(10, pixels)))
    count, pixel = data.draw(st.integers(1, 30)), data.draw(st.integers(0, pixels - 1))
    runs = units_reading(field, count, pixel, axis)
    for cell in range(count):
        read = read_by(field, cell, axis).pixels
        seen = axis.seen_with(pixel)
        inside = read_by(field, cell, axis).seen
        reads = read is not None and seen is not None and inside is not None
        assert any(first <= cell <= last for first, last in runs) == (
            reads and inside[0] <= seen[1] and inside[1] >= seen[0]  # type: ignore[index]
        )
        if reads and any(first <= cell <= last for first, last in runs):
            assert read[0] <= pixel <= read[1]  # type: ignore[index]


@pytest.mark.parametrize("name", ["fcn8s-squeezenet1_1", "fcn8s-mobilenet_v3_small"])
def test_activations_are_those_of_forward_hooks(name: str) -> None:
    torch.manual_seed(1)
    net = build_network(name, classes=3).eval()
    batch = torch.rand(1, 3, 64, 96)
    hooked: dict[str, torch.Tensor] = {}
    names = {module: name for name, module in net.named_modules() if not any(True for _ in module.children())}

    def keep(module: nn.Module, arguments: object, value: torch.Tensor) -> None:
        hooked.setdefault(names[module], value.clone())

    handles = [module.register_forward_hook(keep) for module in names]
    with torch.inference_mode():
        result = net(batch)
    for handle in handles:
        handle.remove()
    seen = seen_network(net, batch)
    assert isinstance(seen, TracedNetwork)
    found: dict[str, torch.Tensor] = {}
    with torch.inference_mode():
        seen.run(batch, lambda name, value: found.__setitem__(name, value.clone()))
    both = set(found) & set(hooked)
    assert len(both) > 20
    for layer in both:
        torch.testing.assert_close(found[layer], hooked[layer], rtol=0, atol=0)
    torch.testing.assert_close(list(found.values())[-1], result, rtol=0, atol=0)


class Deciding(nn.Module):
    """A network that cannot be traced: what it does depends on what it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.again = nn.ReLU()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        value = self.first(images)
        for _ in range(2 if float(value.mean()) > -1e9 else 1):
            value = self.again(value)
        return value


def test_a_network_that_cannot_be_traced_is_seen_by_hooks() -> None:
    batch = torch.rand(1, 3, 9, 8)
    net = Deciding().eval()
    seen = seen_network(net, batch)
    assert isinstance(seen, HookedNetwork)
    assert [layer.name for layer in seen.layers] == ["first", "again", "again_1"]
    assert "cannot be traced" in seen.layers[0].whole[0].reason
    found: dict[str, torch.Tensor] = {}
    with torch.inference_mode():
        seen.run(batch, lambda name, value: found.__setitem__(name, value.clone()), until="again")
    assert list(found) == ["first", "again"]
    torch.testing.assert_close(found["first"], net.first(batch).detach(), rtol=0, atol=0)
    assert not any(module._forward_hooks for module in net.modules())


def test_layers_behind_global_pooling_say_so() -> None:
    net = build_network("fcn8s-mobilenet_v3_small", classes=2).eval()
    layers = {seen.name: seen for seen in seen_network(net, torch.zeros(1, 3, 64, 64)).layers}
    assert layers["features.features.0.0"].whole == ()
    pooled = layers["features.features.1.block.1.avgpool"]
    assert pooled.layer.plane is None
    assert "pools the whole map" in str(pooled.whole[0])
    later = layers["features.features.4.block.0.0"]
    assert later.layer.plane is not None
    assert later.whole
