"""A small plot as SVG: lines over two logarithmic axes, readable on light and on dark paper."""

import math
from collections.abc import Mapping, Sequence
from html import escape

_WIDTH, _HEIGHT = 760, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 120, 20, 50
_COLOURS = ("#4c8dd6", "#d9822b", "#2ca58d", "#c75fa8", "#8a6fd1", "#888888", "#d64c4c")
_LABEL_GAP = 16.0
# Grey in the middle reads on white and on black; so no style sheet has to ask which it is.
_INK = "#808080"


def lines(sizes: Sequence[int], series: Mapping[str, Sequence[float]]) -> str:
    """Draw SERIES (milliseconds at each of SIZES), each with its name at its end."""
    values = [value for each in series.values() for value in each]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))

    def x(size: float) -> float:
        share = math.log(size / sizes[0]) / math.log(sizes[-1] / sizes[0])
        return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(value: float) -> float:
        return round(_TOP + (high - math.log10(value)) / (high - low) * (_HEIGHT - _TOP - _BOTTOM), 1)

    made = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="13" role="img">',
        "<title>What coord's commands cost as the history grows</title>",
    ]
    for power in range(low, high + 1):
        made += _rule(_LEFT, y(10.0**power), _WIDTH - _RIGHT, y(10.0**power))
        made.append(_text(_LEFT - 8, y(10.0**power) + 4, _duration(10.0**power), "end"))
    for size in sizes:
        made += _rule(x(size), _TOP, x(size), _HEIGHT - _BOTTOM)
        made.append(_text(x(size), _HEIGHT - _BOTTOM + 18, f"{size:,}", "middle"))
    made.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 10, "messages of history", "middle"))
    heights = _spread({name: y(each[-1]) for name, each in series.items()})
    for colour, (name, each) in zip(_COLOURS, series.items(), strict=False):
        points = [(x(size), y(value)) for size, value in zip(sizes, each, strict=True)]
        path = " ".join(f"{across},{down}" for across, down in points)
        made.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        made += [f'<circle cx="{across}" cy="{down}" r="3" fill="{colour}"/>' for across, down in points]
        made.append(_text(_WIDTH - _RIGHT + 10, heights[name] + 4, name, "start", colour))
    return "\n".join([*made, "</svg>", ""])


def _duration(milliseconds: float) -> str:
    return f"{milliseconds:g} ms" if milliseconds < 1000 else f"{milliseconds / 1000:g} s"


def _spread(wanted: Mapping[str, float]) -> dict[str, float]:
    """Move labels down as far as they would cover each other, then up from the picture's lower edge."""
    placed: dict[str, float] = {}
    free = 0.0
    for name, height in sorted(wanted.items(), key=lambda item: item[1]):
        placed[name] = max(height, free)
        free = placed[name] + _LABEL_GAP
    limit = float(_HEIGHT - _BOTTOM)
    for name in reversed(placed):
        placed[name] = min(placed[name], limit)
        limit = placed[name] - _LABEL_GAP
    return placed


def _rule(left: float, top: float, right: float, bottom: float) -> list[str]:
    return [f'<line x1="{left}" y1="{top}" x2="{right}" y2="{bottom}" stroke="{_INK}" stroke-opacity="0.3"/>']


def _text(across: float, down: float, words: str, anchor: str, colour: str = _INK) -> str:
    return f'<text x="{across}" y="{down}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'
