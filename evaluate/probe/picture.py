"""A confusion matrix as an SVG picture, which needs no library to draw and scales on any page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

CELL = 36
"""pixels"""
LETTER = 7


def confusion_svg(confusion: np.ndarray, classes: Sequence[str], title: str) -> str:
    """Draws counts (C, C): rows are what clips are, columns what they were taken for; the darker, the more of them."""
    n = len(classes)
    left = 20 + LETTER * max(map(len, classes))
    top = 40 + LETTER * max(map(len, classes))
    width, height = max(left + n * CELL + 20, 20 + LETTER * len(title)), top + n * CELL + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
        f'font-size="12"><rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="10" y="20" font-weight="bold">{escape(title)}</text>',
    ]
    for i, name in enumerate(classes):
        x, y = left + i * CELL + CELL // 2, top + i * CELL + CELL // 2
        parts.append(f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<text transform="translate({x + 4} {top - 6}) rotate(-90)">{escape(name)}</text>')
    for i, row in enumerate(confusion):
        for j, count in enumerate(row):
            share = count / max(row.sum(), 1)
            shade = round(255 * (1 - share))
            fill = f"rgb({shade},{round(255 - 0.6 * (255 - shade))},255)" if i == j else f"rgb(255,{shade},{shade})"
            x, y = left + j * CELL, top + i * CELL
            parts.append(f'<rect x="{x}" y="{y}" width="{CELL}" height="{CELL}" fill="{fill}" stroke="#ccc"/>')
            if count:
                parts.append(f'<text x="{x + CELL // 2}" y="{y + CELL // 2 + 4}" text-anchor="middle">{count}</text>')
    return "\n".join([*parts, "</svg>\n"])
