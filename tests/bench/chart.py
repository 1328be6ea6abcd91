"""The results as a bar chart, SVG written by hand; the colours suit light and dark backgrounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional
from xml.sax.saxutils import escape

from tests.bench.contestants import DEFAULT_WAIT, FLOOR, NO_WAIT, OURS
from tests.bench.orders import LEGO
from tests.bench.results import LAGGING, PROMPT, Results, Row
from tests.bench.rows import BAD_DAY, ROWS
from tests.bench.summary import Line

_WIDTH = 760
_LEFT = 220
_RIGHT = 650
_BAR, _PITCH, _GROUP = 15, 21, 34

#: Text on white and on GitHub's dark background has a contrast of 4.5 with this grey.
_INK = "#768390"
_COLOURS = {FLOOR: "#8c959f", OURS: "#2f81f7", NO_WAIT: "#d4a72c", DEFAULT_WAIT: "#bc6c25"}
_COLOURS[LEGO] = "#8957e5"
_LABELS = {
    FLOOR: "certbot alone (no DNS)",
    OURS: "tcs-lyon1",
    NO_WAIT: "dns-rfc2136, wait set to 0",
    DEFAULT_WAIT: "dns-rfc2136, default wait",
    LEGO: "lego",
}

#: Seconds that the bad day's bars show at most.
_LONGEST_BAD = 40.0


@dataclass(frozen=True)
class _Scale:
    """Seconds to pixels; what is longer than `longest` gets a broken bar."""

    longest: float

    def width(self, seconds: float) -> float:
        return (_RIGHT - _LEFT) * min(seconds / self.longest, 1.0)


def svg(results: Results, lines: Sequence[Line] = ()) -> str:
    """The chart: a group of bars for each number of names, then with the lagging secondary, then
    the bad day's."""
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
    note = (
        "Seconds of a whole certbot certonly process, medians. The bar of the default wait is cut."
    )
    parts.append(_text(16, y - 18, note, size=11))
    more, height = _bad_day([line for line in lines if line.row in BAD_DAY], y + 26)
    parts += more
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" '
        f'width="{_WIDTH}" height="{height:.0f}" role="img" '
        'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif">\n'
        "<title>How long certbot takes with each plugin</title>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def _bad_day(lines: Sequence[Line], y: float) -> tuple[list[str], float]:
    """The second part, from `y` on, and where it ends."""
    if not lines:
        return [], y - 32
    parts = [_text(16, y, "On a bad day", weight="bold", size=15)]
    y += 28
    scale = _Scale(_LONGEST_BAD)
    for row, size in dict.fromkeys((line.row, line.size) for line in lines):
        parts.append(_text(16, y, f"{ROWS[row].title}: {size}", weight="bold"))
        y += 11
        for line in lines:
            if (line.row, line.size) == (row, size):
                parts += _bad_bar(line, y, scale)
                y += _PITCH
        y += _GROUP - 10
    note = (
        "Medians; beside them what the same takes on a healthy network. lineages: one certbot "
        "renew. Longer bars are cut."
    )
    parts.append(_text(16, y - 8, note, size=11))
    return parts, y + 4


def _bad_bar(line: Line, y: float, scale: _Scale) -> list[str]:
    label, base = _LABELS[line.contestant], f"(healthy: {_seconds(line.base_seconds)})"
    value = "fails" if line.failed == line.runs else f"{_seconds(line.seconds)} {base}"
    if 0 < line.failed < line.runs:
        value = f"{value}, {line.failed} of {line.runs} fail"
    return _drawn(line.contestant, label, line.seconds, value, y, scale)


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 10 else f"{seconds:.2f} s"


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
    value = "fails" if r.failed == r.runs else _value(r, floor)
    return _drawn(r.contestant, _LABELS[r.contestant], r.seconds, value, y, scale)


def _drawn(
    contestant: str, label: str, seconds: float, value: str, y: float, scale: _Scale
) -> list[str]:
    """A bar with its label and what stands behind it."""
    width = scale.width(seconds)
    middle = y + _BAR - 3.5
    look = f'fill="{_COLOURS[contestant]}"'
    if value == "fails":
        look = f'fill="none" stroke="{_COLOURS[contestant]}" stroke-dasharray="4 3"'
    parts = [_text(_LEFT - 10, middle, label, anchor="end")]
    if seconds > scale.longest:
        parts.append(f'<path d="{_cut_outline(width, y)}" {look}/>')
    else:
        rect = f'x="{_LEFT}" y="{y:.1f}" width="{width:.1f}" height="{_BAR}" rx="2"'
        parts.append(f"<rect {rect} {look}/>")
    end = _LEFT + width
    if end > _RIGHT - 60 and len(value) > 12:  # inside the bar there is room
        parts.append(_text(end - 40, middle, value, anchor="end", weight="bold", ink="#ffffff"))
    else:
        parts.append(_text(end + 8, middle, value, weight="bold"))
    return parts


def _value(r: Row, floor: Optional[Row]) -> str:
    if r.scenario == PROMPT and floor is not None and r.contestant == OURS:
        return f"{_seconds(r.seconds)} (+{100 * (r.seconds / floor.seconds - 1):.0f} %)"
    return _seconds(r.seconds)


def _cut_outline(width: float, y: float) -> str:
    """A bar with a slanting gap near its end, through which the background shows."""
    cut, end = _LEFT + width * 0.92, _LEFT + width
    return (
        f"M{_LEFT} {y:.1f} H{cut:.1f} l-6 {_BAR} H{_LEFT} z "
        f"M{cut + 6:.1f} {y:.1f} H{end:.1f} v{_BAR} H{cut:.1f} z"
    )


def _text(
    x: float,
    y: float,
    text: str,
    anchor: str = "start",
    weight: str = "normal",
    size: int = 12,
    ink: str = _INK,
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" '
        f'text-anchor="{anchor}" fill="{ink}">{escape(text)}</text>'
    )
