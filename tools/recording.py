"""Run `make demo` and write its output as an animated picture, docs/pictures/demo.svg.

The output is real; the timing is not: each line stays long enough to read. The picture has its own background, so it
looks the same on light and dark pages, and loads nothing from other machines. With `prefers-reduced-motion` it shows
the beginning as a still.
"""

from __future__ import annotations

import os
import subprocess
from html import escape
from pathlib import Path

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "pictures" / "demo.svg"
COLUMNS, ROWS = 64, 22
CHARACTER, LINE, MARGIN, BAR = 8.6, 20, 16, 34
"""Character width, line height, margin and height of the window's title bar, in pixels."""
STATEMENT_SECONDS, OUTPUT_SECONDS, COMMENT_SECONDS, LAST_SECONDS = 0.45, 0.35, 0.9, 4.0
STYLE = """\
text { font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; white-space: pre; }
.comment { fill: #8ec07c; } .prompt { fill: #7c8796; } .code { fill: #f2f4f8; } .output { fill: #83c5e6; }
"""


def record() -> list[str]:
    """Return the lines of a real run."""
    ended = subprocess.run(
        ["make", "--silent", "demo"],  # noqa: S607 - make from PATH
        cwd=ROOT,
        env={**os.environ, "COLUMNS": str(COLUMNS)},
        capture_output=True,
        text=True,
        check=True,
    )
    return ["$ make demo", *ended.stdout.rstrip().splitlines()]


def seconds(line: str) -> float:
    """Return how long a line stays the last one."""
    if line.startswith("# "):
        return COMMENT_SECONDS
    return STATEMENT_SECONDS if line.startswith((">>> ", "... ", "$ ")) else OUTPUT_SECONDS


def spans(line: str) -> str:
    """Return a line with its colors."""
    if line.startswith("# "):
        return f'<tspan class="comment">{escape(line)}</tspan>'
    for prompt in (">>> ", "... ", "$ "):
        if line.startswith(prompt):
            code = escape(line.removeprefix(prompt))
            return f'<tspan class="prompt">{escape(prompt)}</tspan><tspan class="code">{code}</tspan>'
    return f'<tspan class="output">{escape(line)}</tspan>'


def keyframes(name: str, places: list[tuple[float, float]]) -> str:
    """Return an animation that jumps between positions, given as (share of the time, pixels)."""
    steps = " ".join(f"{share:.2%} {{ transform: translateY({pixels:g}px); }}" for share, pixels in places)
    return f"@keyframes {name} {{ {steps} }}"


def picture(lines: list[str]) -> str:
    """Return the picture: lines appear one by one from below a cover, and scroll when the window is full."""
    times = [0.0]
    for line in lines:
        times.append(times[-1] + seconds(line))
    duration = times[-1] + LAST_SECONDS
    shares = [time / duration for time in times[:-1]]
    cover = [(share, (number + 1) * LINE) for number, share in enumerate(shares)]
    scroll = [(share, -max(0, number + 1 - ROWS) * LINE) for number, share in enumerate(shares)]
    width, height = round(2 * MARGIN + COLUMNS * CHARACTER), BAR + ROWS * LINE + MARGIN
    rows = "\n".join(
        f'<text x="{MARGIN}" y="{number * LINE + 15}">{spans(line)}</text>' for number, line in enumerate(lines) if line
    )
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">
<title>A terminal in which make demo runs</title>
<style>
{STYLE}
.cover {{ transform: translateY({len(lines) * LINE}px); }}
@media not (prefers-reduced-motion: reduce) {{
.cover {{ animation: cover {duration:.1f}s step-end infinite; }}
.lines {{ animation: scroll {duration:.1f}s step-end infinite; }}
}}
{keyframes("cover", [*cover, (1, len(lines) * LINE)])}
{keyframes("scroll", [*scroll, (1, scroll[-1][1])])}
</style>
<rect width="{width}" height="{height}" rx="10" fill="#1b2028" stroke="#4a5361"/>
<circle cx="20" cy="17" r="5.5" fill="#ef6b63"/><circle cx="38" cy="17" r="5.5" fill="#f2bd4b"/>
<circle cx="56" cy="17" r="5.5" fill="#62c554"/>
<svg y="{BAR}" width="{width}" height="{ROWS * LINE}">
<g class="lines">
{rows}
<rect class="cover" x="1" width="{width - 2}" height="{(len(lines) + ROWS) * LINE}" fill="#1b2028"/>
</g>
</svg>
</svg>
"""


if __name__ == "__main__":
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(picture(record()), encoding="utf-8")
    print(f"Wrote {PICTURE.relative_to(ROOT)}.")
