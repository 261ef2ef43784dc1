"""The medians as a picture: CPU of each pair by load, on a logarithmic scale.

SVG written by hand: a library for one picture would be 60 MB, and nobody would read its files in a review.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape
from typing import Final

from bench.measure import Row, Rows, median_row
from bench.report import points_of, variants_of

_LEFT: Final = 190
_RIGHT: Final = 40
_WIDTH: Final = 900
_TOP: Final = 56
_STEP: Final = 30
# Told apart by those who see no red, too; each variant has a shape of its own besides.
_STYLES: Final = {
    "passerelle": ("#0b3d91", "square"),
    "passerelle, 2 workers": ("#5b8def", "square"),
    "passerelle, disk 5 ms": ("#b39ddb", "square"),
    "envoy": ("#d55e00", "circle"),
    "nginx": ("#009e73", "diamond"),
    "grpc.aio": ("#777777", "triangle"),
}
_OTHER: Final = ("#000000", "circle")


def svg(rows: Rows) -> str:
    """One row a load, one mark a pair; the line from ours shows what control adds."""
    points, names = points_of(rows), variants_of(rows)
    medians = {key: median_row(some) for key, some in rows.items()}
    values = [row.pair_us for row in medians.values()] + [
        row.pair_with_control_us for row in medians.values()
    ]
    low, high = _decades(values)
    height = _TOP + _STEP * len(points) + 44

    def x(us: float) -> float:
        share = (math.log10(us) - low) / (high - low)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif"'
        ' font-size="13">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        *_legend(names),
    ]
    bottom = _TOP + _STEP * len(points)
    for power in range(low, high + 1):
        at = x(10**power)
        parts.append(f'<line x1="{at:.1f}" y1="{_TOP - 8}" x2="{at:.1f}" y2="{bottom}" stroke="#dddddd"/>')
        label = f"{10**power:,}" if power >= 0 else f"{10**power:g}"
        parts.append(f'<text x="{at:.1f}" y="{bottom + 18}" text-anchor="middle">{label}</text>')
    parts.append(
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{bottom + 36}" text-anchor="middle">CPU, µs</text>'
    )
    for number, point in enumerate(points):
        y = _TOP + _STEP * number + _STEP / 2
        parts.append(f'<text x="{_LEFT - 12}" y="{y + 4}" text-anchor="end">{escape(str(point))}</text>')
        for name in names:
            row = medians.get((name, point))
            if row is not None and row.pair_us > 0:
                parts += _marks(row, x(row.pair_us), x(row.pair_with_control_us), y)
    return "\n".join([*parts, "</svg>", ""])


def _decades(values: list[float]) -> tuple[int, int]:
    positive = [one for one in values if one > 0] or [1.0]
    low, high = math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive)))
    return low, max(high, low + 1)


def _legend(names: list[str]) -> Iterator[str]:
    at = 20
    for name in names:
        colour, shape = _STYLES.get(name, _OTHER)
        yield _mark(shape, at, 20, colour)
        yield f'<text x="{at + 12}" y="24">{escape(name)}</text>'
        at += 36 + 8 * len(name)
    yield f'<text x="{at}" y="24" fill="#444444">— : with control</text>'


def _marks(row: Row, x: float, x_all: float, y: float) -> Iterator[str]:
    colour, shape = _STYLES.get(row.variant, _OTHER)
    if x_all > x:
        yield f'<line x1="{x:.1f}" y1="{y}" x2="{x_all:.1f}" y2="{y}" stroke="{colour}" stroke-width="3"/>'
    title = f"{row.variant}, {row.point}: {row.pair_us:,.1f} µs"
    yield _mark(shape, x, y, colour, escape(title))


def _mark(shape: str, x: float, y: float, colour: str, title: str = "") -> str:
    said = f"<title>{title}</title>" if title else ""
    outlines = {
        "square": f"M{x - 6:.1f} {y - 6}h12v12h-12z",
        "diamond": f"M{x:.1f} {y - 8}l8 8l-8 8l-8 -8z",
        "triangle": f"M{x:.1f} {y - 7}l7 13h-14z",
        "circle": f"M{x - 6:.1f} {y}a6 6 0 1 0 12 0a6 6 0 1 0 -12 0z",
    }
    return f'<path d="{outlines[shape]}" fill="{colour}" fill-opacity="0.85">{said}</path>'
