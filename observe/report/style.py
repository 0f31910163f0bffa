"""How the pictures look: colours that the colour-blind tell apart, and a second sign for each, which print keeps.

The colours are those of Okabe and Ito (Color Universal Design, 2008), dark and light in turn.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

WIDTH = 7.1
"""Inches: what A4 leaves between its margins."""
INK, FAINT, PALE = "#1a1a1a", "#595959", "#d9d9d9"
"""Text and lines; what is said by the way (7 to 1 on white); grids, and what somebody does not see."""
ALARM = "#D55E00"
_EDGES = 0.45
"""Inches above and below the rows of a figure: its key, and the words at the lowest axis."""


@dataclass(frozen=True)
class Sign:
    """How a path is drawn wherever it is drawn."""

    colour: str
    line: Any
    hatch: str
    marker: str


_SIGNS = (
    Sign("#0072B2", "-", "", "o"),
    Sign("#E69F00", (0, (5, 1.5)), "////", "s"),
    Sign("#009E73", (0, (1, 1)), "....", "^"),
    Sign("#CC79A7", (0, (5, 1.5, 1, 1.5)), "xxxx", "D"),
    Sign("#D55E00", (0, (8, 2)), "\\\\\\\\", "v"),
    Sign("#56B4E9", (0, (3, 1, 1, 1, 1, 1)), "++++", "P"),
)
_WHOLE = Sign("#595959", "-", "", "o")

_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": PALE,
    "grid.linewidth": 0.5,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "lines.linewidth": 1.5,
    "hatch.linewidth": 0.7,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    # Text stays text; and the same capture gives the same file.
    "svg.fonttype": "none",
    "svg.hashsalt": "wg-migrate",
}
_FONTS = b"system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_DIGITS = re.compile(rb"(\d\.\d\d)\d+")
_AGAIN = re.compile(rb"(L [\d. ]+)\n(?:\1\n)+")
"""What makes most of a file and nobody sees: less than a hundredth of a point, and lines to where one is already."""


def sign(path: int) -> Sign:
    """Return how a path is drawn by its number; NO_PATH (-1) is the whole."""
    return _WHOLE if path < 0 else _SIGNS[path % len(_SIGNS)]


@contextmanager
def drawing() -> Iterator[None]:
    """Give the block this style."""
    with mpl.rc_context(_STYLE):
        yield


def figure(rows: int, columns: int, heights: Sequence[float], **options: Any) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure as wide as the page with a grid of axes; `heights` of the rows are in inches."""
    made = Figure(figsize=(WIDTH, sum(heights) + _EDGES))
    axes = made.subplots(rows, columns, squeeze=False, gridspec_kw={"height_ratios": list(heights)}, **options)
    return made, [list(row) for row in axes]


def svg(made: Figure) -> bytes:
    """Return a figure as SVG: its text in the reader's own fonts, nothing in it that changes from run to run."""
    stream = io.BytesIO()
    made.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    # Measured with DejaVu Sans, which is wider than most: what is shown in another font has room.
    drawn = _AGAIN.sub(rb"\1\n", _DIGITS.sub(rb"\1", stream.getvalue()))
    return drawn.replace(b"'DejaVu Sans', sans-serif", _FONTS)


def two_ways(axes: Axes, unit: str) -> None:
    """Label an axis that counts upstream above its zero and downstream below."""
    axes.axhline(0, color=INK, linewidth=0.6)
    axes.yaxis.set_major_formatter(lambda value, _position: f"{abs(value):g}")
    axes.set_ylabel(unit)


def say_directions(axes: Axes) -> None:
    """Write at the right side which way is which."""
    for place, words, side in ((0.98, "up", "top"), (0.02, "down", "bottom")):
        axes.text(
            1.004, place, words, transform=axes.transAxes, ha="left", va=side, color=FAINT, fontsize=8, rotation=90
        )


def key(made: Figure, names: Sequence[tuple[int, str]]) -> None:
    """Put the signs of the paths above a figure: numbers and names."""
    patches = []
    for number, name in names:
        style = sign(number)
        patches.append(Patch(facecolor=style.colour, edgecolor=INK, hatch=style.hatch, linewidth=0.5, label=name))
    made.legend(handles=patches, loc="outside upper right", ncols=min(6, len(patches)), frameon=False, handlelength=2.2)
