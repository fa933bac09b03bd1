"""A layer's numbers as bars."""

from __future__ import annotations

from nicegui import ui

from fullconv.workbench.layers.views import Statistics

WIDTH, HEIGHT = 320, 64


def histogram(about: Statistics) -> None:
    """How often which numbers occur; zero is marked where it lies among them.

    The heights are square roots, so that rare numbers are seen beside the many zeros behind a ReLU.
    """
    svg = histogram_svg(about)
    with ui.element("figure").style("margin: 0; width: 100%; max-width: 26rem"):
        ui.html(svg, sanitize=False)  # numbers alone
        with ui.element("figcaption").classes("row justify-between faint").style("font-size: .78rem"):
            ui.label(f"{about.least:.3g}")
            ui.label("how often (square root)")
            ui.label(f"{about.greatest:.3g}")


def histogram_svg(about: Statistics) -> str:
    """The bars as SVG, in the colours of the page.

    >>> about = Statistics(
    ...     mean=0, std=1, least=-1, greatest=1, zeros=0, constant=0, histogram=(1, 4), broken=0
    ... )
    >>> histogram_svg(about).count("<rect"), 'x1="160.0"' in histogram_svg(about)
    (2, True)
    """
    greatest = max(1, *about.histogram)
    step = WIDTH / max(1, len(about.histogram))
    bars = []
    for place, count in enumerate(about.histogram):
        height = HEIGHT * (count / greatest) ** 0.5
        bars.append(
            f'<rect x="{place * step:.1f}" y="{HEIGHT - height:.1f}" width="{step * 0.86:.1f}" height="{height:.1f}" '
            'fill="var(--accent)"/>'
        )
    if about.least < 0 < about.greatest:
        zero = -about.least / (about.greatest - about.least) * WIDTH
        bars.append(f'<line x1="{zero:.1f}" x2="{zero:.1f}" y1="0" y2="{HEIGHT}" stroke="var(--faint)"/>')
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" style="width: 100%; display: block; '
        f'border-bottom: 1px solid var(--line)"><title>Histogram: mean {about.mean:.3g}, deviation {about.std:.3g}'
        f"</title>{''.join(bars)}</svg>"
    )
