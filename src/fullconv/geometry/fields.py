"""Which image pixels the cells of a feature map read, along one axis: exactly, for every phase."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm


@dataclass(frozen=True)
class Field:
    """The cells of a map along one axis, and what each of them reads.

    Cell `o` sits on the image at `stride·o + center` and reads no pixel outside `low(o) … high(o)`. After upsampling
    the extent depends on the phase of `o`; it repeats after `len(lows)` cells, shifted by `stride·len(lows)` pixels.
    Coordinates are those of an image without end: what padding adds lies outside the pixels from 0 to size − 1.

    Args:
        stride: pixels from one cell to the next; below one after upsampling beyond the image.
        center: pixel coordinate of the centre of cell 0 (pixel i has its centre at i).
        lows, highs: first and last pixel that each phase reads; (None, None) for a cell that reads nothing.

    >>> image = Field.image()
    >>> conv1 = image.window(11, stride=4, padding=100)
    >>> pool1 = conv1.window(3, stride=2)
    >>> pool1.stride, pool1.center, pool1.size
    (Fraction(8, 1), Fraction(-91, 1), 19)

    Source: Long, Shelhamer, Darrell, CVPR 2015, section 3 (kernel and stride of composed layers).
    """

    stride: Fraction
    center: Fraction
    lows: tuple[int | None, ...]
    highs: tuple[int | None, ...]

    @classmethod
    def image(cls) -> Field:
        """The image itself: every pixel reads itself."""
        return cls(Fraction(1), Fraction(0), (0,), (0,))

    @property
    def phases(self) -> int:
        """After how many cells the extents repeat."""
        return len(self.lows)

    @property
    def size(self) -> int:
        """Pixels of the receptive field, of the phase that reads most."""
        sizes = [
            high - low + 1
            for low, high in zip(self.lows, self.highs, strict=True)
            if low is not None and high is not None
        ]
        return max(sizes, default=0)

    @property
    def start(self) -> int | None:
        """First pixel that cell 0 reads."""
        return self.lows[0]

    def extent(self, cell: int) -> tuple[int, int] | None:
        """First and last pixel that a cell reads; None where it reads nothing.

        >>> Field.image().window(3, stride=2, padding=1).extent(5)
        (9, 11)
        """
        turns, phase = divmod(cell, self.phases)
        low, high = self.lows[phase], self.highs[phase]
        if low is None or high is None:
            return None
        shift = turns * self._period
        return low + shift, high + shift

    @property
    def before(self) -> int:
        """How many pixels before its own position, ⌊stride·o⌋, a cell can read: the worst phase."""
        return max((self._place(o) - low for o, low in enumerate(self.lows) if low is not None), default=0)

    @property
    def after(self) -> int:
        """How many pixels after its own position a cell can read: the worst phase."""
        return max((high - self._place(o) for o, high in enumerate(self.highs) if high is not None), default=0)

    def _place(self, cell: int) -> int:
        return _floor(cell * self.stride)

    def window(self, kernel: int, *, stride: int = 1, padding: int = 0, dilation: int = 1) -> Field:
        """A convolution or pooling: cell o reads the cells `stride·o − padding + dilation·j`, j < kernel.

        Partial cells that rounding up adds at the end do not change the map.

        >>> Field.image().window(3, dilation=2, padding=2).size
        5
        """
        reach = (kernel - 1) * dilation
        return self._reading(
            Fraction(stride),
            Fraction(reach, 2) - padding,
            lambda o: range(stride * o - padding, stride * o - padding + reach + 1, dilation),
        )

    def spread(self, kernel: int, *, stride: int = 1, padding: int = 0, dilation: int = 1) -> Field:
        """A transposed convolution: cell o reads cell i where `stride·i + dilation·j = o + padding` for some j.

        >>> Field.image().window(2, stride=2).spread(4, stride=2, padding=1).size
        4
        """
        taps = [dilation * j - padding for j in range(kernel)]
        return self._reading(
            Fraction(1, stride),
            (padding - Fraction((kernel - 1) * dilation, 2)) / stride,
            lambda o: [(o - tap) // stride for tap in taps if (o - tap) % stride == 0],
        )

    def moved(self, offset: int) -> Field:
        """Cell o is what was cell o + offset: a crop by `offset` at the start, or padding where it is negative."""
        return self.window(1, padding=-offset)

    def blocks(self, size: int) -> Field:
        """Space to depth: cell o holds the cells `size·o … size·o + size − 1`."""
        return self.window(size, stride=size)

    def repeated(self, factor: int) -> Field:
        """Depth to space, or nearest-neighbour upsampling: cell o is what was cell ⌊o / factor⌋."""
        return self._reading(Fraction(1, factor), Fraction(1 - factor, 2 * factor), lambda o: [o // factor])

    def resized(self, factor: Fraction, *, taps: int, antialias: bool = False, half: bool = False) -> Field:
        """Interpolation by a fixed factor with half-pixel centres, as torch does it with `align_corners=False`.

        A pixel counts as read also where its weight happens to be zero, as it is in torch's own arithmetic.

        Args:
            factor: cells of the result per cell.
            taps: cells that one output reads: 1 for nearest, 2 for bilinear, 4 for bicubic.
            antialias: the kernel widens when cells become fewer.
            half: for nearest, whether the middle of a cell counts (torch's nearest-exact) or its start (nearest).

        >>> Field.image().resized(Fraction(2), taps=2).lows
        (-1, 0)
        """
        step = 1 / factor
        middle = first = (step - 1) / 2
        if taps == 1 and not (half and step.numerator % 2):  # what is read, on average over the phases
            first = Fraction((step.numerator if half else 0) + 1 - step.denominator, 2 * step.denominator)

        def cells(o: int) -> Iterable[int]:
            place = step * o + middle
            if antialias:
                support = Fraction(taps, 2) * max(Fraction(1), step)
                return range(_floor(place + 1 - support), _floor(place + 1 + support))
            if taps == 1:
                return [_floor(step * o + (step / 2 if half else 0))]
            base = _floor(place)
            return range(base - taps // 2 + 1, base + taps // 2 + 1)

        return self._reading(step, first, cells)

    def interpolated(self, factor: int, first: Fraction) -> Field:
        """Linear interpolation by a whole factor: cell o sits at `o / factor + first`, reads the cells on both sides.

        >>> Field.image().window(1, stride=2).interpolated(2, Fraction(0)).extent(3)
        (2, 4)
        """
        step = Fraction(1, factor)
        return self._reading(step, first, lambda o: (_floor(step * o + first), _floor(step * o + first) + 1))

    def joined(self, other: Field) -> Field:
        """Two maps of one stride, cell by cell: each cell reads what either of them reads. The centre stays this one's.

        Raises:
            ValueError: the strides differ.
        """
        if self.stride != other.stride:
            raise ValueError(f"strides {self.stride} and {other.stride} cannot be joined")
        count = lcm(self.phases, other.phases)
        own = [self.extent(o) for o in range(count)]
        its = [other.extent(o) for o in range(count)]
        return self._of(self.stride, self.center, [_hull(*pair) for pair in zip(own, its, strict=True)])

    @property
    def _period(self) -> int:
        return int(self.stride * self.phases)

    def _reading(self, step: Fraction, first: Fraction, cells: Callable[[int], Iterable[int]]) -> Field:
        """The map whose cell o sits at `step·o + first` of this one and reads its cells `cells(o)`."""
        count = step.denominator * (self.phases // gcd(self.phases, step.numerator))
        extents = [_hull(*(self.extent(cell) for cell in cells(o))) for o in range(count)]
        return self._of(self.stride * step, self.stride * first + self.center, extents)

    @classmethod
    def _of(cls, stride: Fraction, center: Fraction, extents: list[tuple[int, int] | None]) -> Field:
        """The field with the fewest phases that has these extents."""
        count = len(extents)
        for phases in (n for n in range(1, count) if count % n == 0 and (stride * n).denominator == 1):
            shift = int(stride * phases)
            if all(_moved(extents[o], shift) == extents[o + phases] for o in range(count - phases)):
                extents = extents[:phases]
                break
        return cls(
            stride,
            center,
            tuple(None if extent is None else extent[0] for extent in extents),
            tuple(None if extent is None else extent[1] for extent in extents),
        )


def _floor(value: Fraction) -> int:
    return value.numerator // value.denominator


def _moved(extent: tuple[int, int] | None, shift: int) -> tuple[int, int] | None:
    return None if extent is None else (extent[0] + shift, extent[1] + shift)


def _hull(*extents: tuple[int, int] | None) -> tuple[int, int] | None:
    read = [extent for extent in extents if extent is not None]
    return (min(low for low, _ in read), max(high for _, high in read)) if read else None
