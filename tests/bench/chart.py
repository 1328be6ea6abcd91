"""The results as a bar chart, SVG written by hand; the colours suit light and dark backgrounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional
from xml.sax.saxutils import escape

from tests.bench.contestants import DEFAULT_WAIT, FLOOR, NO_WAIT, OURS
from tests.bench.results import LAGGING, PROMPT, Results, Row

_WIDTH = 760
_LEFT = 220
_RIGHT = 650
_BAR, _PITCH, _GROUP = 15, 21, 34

#: Text on white and on GitHub's dark background has a contrast of 4.5 with this grey.
_INK = "#768390"
_COLOURS = {FLOOR: "#8c959f", OURS: "#2f81f7", NO_WAIT: "#d4a72c", DEFAULT_WAIT: "#bc6c25"}
_LABELS = {
    FLOOR: "certbot alone (no DNS)",
    OURS: "tcs-lyon1",
    NO_WAIT: "dns-rfc2136, wait set to 0",
    DEFAULT_WAIT: "dns-rfc2136, default wait",
}


@dataclass(frozen=True)
class _Scale:
    """Seconds to pixels; what is longer than `longest` gets a broken bar."""

    longest: float

    def width(self, seconds: float) -> float:
        return (_RIGHT - _LEFT) * min(seconds / self.longest, 1.0)


def svg(results: Results) -> str:
    """The chart: a group of bars for each number of names, then with the lagging secondary."""
    groups = _groups(results)
    shown = [r.seconds for _, rows in groups for r in rows if r.contestant != DEFAULT_WAIT]
    scale = _Scale(max(shown, default=1.0) * 1.08)
    parts: list[str] = []
    y = 34.0
    for title, rows in groups:
        parts.append(_text(16, y, title, weight="bold"))
        y += 11
        for r in rows:
            parts += _bar(r, results.floor(r.names), y, scale)
            y += _PITCH
        y += _GROUP
    height = y - 6
    note = (
        "Seconds of a whole certbot certonly process, medians. The bar of the default wait is cut."
    )
    parts.append(_text(16, y - 18, note, size=11))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" '
        f'width="{_WIDTH}" height="{height:.0f}" role="img" '
        'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif">\n'
        "<title>How long certbot takes with each plugin</title>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def _groups(results: Results) -> list[tuple[str, Sequence[Row]]]:
    sizes = sorted({r.names for r in results.rows})
    groups: list[tuple[str, Sequence[Row]]] = [
        (_names(size), [r for r in results.rows if (r.scenario, r.names) == (PROMPT, size)])
        for size in sizes
    ]
    for size in sizes[:1]:
        late = [r for r in results.rows if (r.scenario, r.names) == (LAGGING, size)]
        lag = next((r.lag for r in late if r.lag is not None), None)
        if late:
            behind = "" if lag is None else f" that is {lag:.1f} s behind"
            groups.append((f"{_names(size)}, a secondary{behind}", late))
    return groups


def _names(count: int) -> str:
    return "1 name" if count == 1 else f"{count} names"


def _bar(r: Row, floor: Optional[Row], y: float, scale: _Scale) -> list[str]:
    width = scale.width(r.seconds)
    middle = y + _BAR - 3.5
    all_failed = r.failed == r.runs
    look = f'fill="{_COLOURS[r.contestant]}"'
    if all_failed:
        look = f'fill="none" stroke="{_COLOURS[r.contestant]}" stroke-dasharray="4 3"'
    parts = [_text(_LEFT - 10, middle, _LABELS[r.contestant], anchor="end")]
    if r.seconds > scale.longest:
        parts.append(f'<path d="{_cut_outline(width, y)}" {look}/>')
    else:
        rect = f'x="{_LEFT}" y="{y:.1f}" width="{width:.1f}" height="{_BAR}" rx="2"'
        parts.append(f"<rect {rect} {look}/>")
    parts.append(_text(_LEFT + width + 8, middle, _value(r, floor, all_failed), weight="bold"))
    return parts


def _value(r: Row, floor: Optional[Row], all_failed: bool) -> str:
    if all_failed:
        return "fails"
    seconds = f"{r.seconds:.1f} s" if r.seconds >= 10 else f"{r.seconds:.2f} s"
    if r.scenario == PROMPT and floor is not None and r.contestant == OURS:
        return f"{seconds} (+{100 * (r.seconds / floor.seconds - 1):.0f} %)"
    return seconds


def _cut_outline(width: float, y: float) -> str:
    """A bar with a slanting gap near its end, through which the background shows."""
    cut, end = _LEFT + width * 0.92, _LEFT + width
    return (
        f"M{_LEFT} {y:.1f} H{cut:.1f} l-6 {_BAR} H{_LEFT} z "
        f"M{cut + 6:.1f} {y:.1f} H{end:.1f} v{_BAR} H{cut:.1f} z"
    )


def _text(
    x: float, y: float, text: str, anchor: str = "start", weight: str = "normal", size: int = 12
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" '
        f'text-anchor="{anchor}" fill="{_INK}">{escape(text)}</text>'
    )
