"""Draw the results as SVG, from the JSON alone, in the reader's light or dark color scheme."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

WIDTH = 760
COLOURS = {
    "SDK": "#2f81f7",
    "SDK, async": "#8250df",
    "httpx": "#e5534b",
    "aiohttp": "#2da44e",
    "processes": "#2f81f7",
    "Ray": "#2da44e",
    "network and server": "#8b949e",
    "h11": "#e5534b",
    "httpcore's connection": "#d4842a",
    "transport and pool": "#2da44e",
    "client": "#2f81f7",
    "JSON": "#8250df",
}
STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #1f2328 } .title { font-weight: 600; font-size: 15px }
.note { fill: #59636e } .grid { stroke: #8b949e; stroke-opacity: .35 } .back { fill: #ffffff }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .note { fill: #9198a1 } .back { fill: #0d1117 } }
</style>"""


def svg(height: int, parts: list[str]) -> str:
    """Return a whole picture."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">'
    back = f'<rect class="back" width="{WIDTH}" height="{height}" rx="6"/>'
    return "\n".join([head, STYLE, back, *parts, "</svg>\n"])


def text(x: float, y: float, value: str, kind: str = "", anchor: str = "start") -> str:
    """Return a line of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(value)}</text>'


def bars(title: str, rows: Mapping[str, Mapping[str, float]], unit: str) -> str:
    """Return a bar chart with one stacked bar per row."""
    scale = (WIDTH - 190) / max(sum(parts.values()) for parts in rows.values())
    drawn = [text(16, 28, title, "title")]
    for number, (name, parts) in enumerate(rows.items()):
        x, y = 90.0, 48 + number * 44
        drawn.append(text(16, y + 20, name))
        for part, value in parts.items():
            width = max(value, 0) * scale
            drawn.append(f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="30" fill="{COLOURS[part]}"/>')
            x += width
        drawn.append(text(x + 8, y + 20, f"{sum(parts.values()):.0f} {unit}"))
    y = 48 + len(rows) * 44
    for number, part in enumerate(next(iter(rows.values()))):
        left, top = 90 + number % 3 * 210, y + 8 + number // 3 * 22
        drawn.append(f'<rect x="{left}" y="{top}" width="12" height="12" fill="{COLOURS[part]}"/>')
        drawn.append(text(left + 18, top + 11, " | ".join([part, *(f"{row[part]:.0f}" for row in rows.values())])))
    return svg(y + 66, drawn)


def plot(curve: Mapping[str, Any]) -> str:
    """Return a plot with logarithmic axes."""
    left, right, top, bottom, height = 70, WIDTH - 110, 46, 330, 380
    points = [point for line in curve["points"].values() for point in line]
    spans = []
    for axis in (0, 1):
        values = [math.log10(point[axis]) for point in points]
        spans.append((min(values), max(*values, min(values) + 0.1)))
    (x0, x1), (y0, y1) = spans[0], (math.floor(spans[1][0]), math.ceil(spans[1][1]))

    def place(x: float, y: float) -> tuple[float, float]:
        across = (math.log10(x) - x0) / (x1 - x0)
        up = (math.log10(y) - y0) / (y1 - y0)
        return left + across * (right - left), bottom - up * (bottom - top)

    drawn = [text(16, 28, f"{curve['title']} ({curve['y']})", "title")]
    for power in range(y0, y1 + 1):
        y = place(10**x0, 10.0**power)[1]
        drawn.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        drawn.append(text(left - 8, y + 4, f"{10.0**power:g}", "note", "end"))
    for power in range(math.ceil(x0 - 1e-9), math.floor(x1 + 1e-9) + 1):
        x = place(10.0**power, 10.0**y0)[0]
        drawn.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>')
        drawn.append(text(x, bottom + 18, f"{10**power:,}", "note", "middle"))
    drawn.append(text((left + right) / 2, bottom + 38, curve["x"], "note", "middle"))
    taken: list[float] = []
    for name, line in curve["points"].items():
        placed = [place(x, y) for x, y in line]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        drawn.append(f'<polyline fill="none" stroke="{COLOURS[name]}" stroke-width="2.5" points="{path}"/>')
        drawn += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{COLOURS[name]}"/>' for x, y in placed]
        y = placed[-1][1]
        while any(abs(y - other) < 15 for other in taken):  # noqa: PLR2004 - the height of a line
            y += 4
        taken.append(y)
        drawn.append(text(right + 10, y + 4, name))
    return svg(height, drawn)


def draw(results: Mapping[str, Any]) -> dict[str, str]:
    """Return all pictures by file name."""
    pictures = {"one-call.svg": bars("Where the time of one get goes (µs)", results["layers"], "µs")}
    return {**pictures, **{f"{name}.svg": plot(curve) for name, curve in results["growth"].items()}}
