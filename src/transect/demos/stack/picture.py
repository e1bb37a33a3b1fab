# SPDX-License-Identifier: Apache-2.0
"""What was seen, as a picture (SVG), which is dark for a reader whose system is set to dark."""

from __future__ import annotations

from collections.abc import Iterator

from transect.demos.stack.seen import Seen, Window
from transect.demos.stack.table import ratio

WIDTH, LEFT, RIGHT = 960, 230, 720  # pixels: of the whole; where bars begin, and end at most
ROW, BAR = 40, 14  # pixels: from one row to the next; of a bar
FONT = "system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif"
STYLE = """\
.ink{fill:#1b1f24}.dim{fill:#57606a}.page{fill:#f6f8fa}.alice{fill:#0550ae}.far{fill:#a5c8f0}.bob{fill:#bf5700}
@media (prefers-color-scheme: dark){.ink{fill:#e6edf3}.dim{fill:#9aa4af}.page{fill:#0d1117}\
.alice{fill:#79c0ff}.far{fill:#24507f}.bob{fill:#f0883e}}"""
TITLE = "Two tenants on one stack"
WHAT = (
    "How long alice's calls take, end to end, while bob floods every layer, and how both are served "
    "when both flood: where nothing shares by their weights, and where all layers do."
)


def drawn(seen: Seen) -> str:
    """The picture's text."""
    rows = [*_waits(seen), *_shares(seen, 96 + ROW * (1 + len(seen.flooded)))]
    height = 160 + ROW * (1 + len(seen.flooded) + len(seen.both) * 2)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-labelledby="t d" font-family="{FONT}">'
    )
    return "\n".join(
        [
            head,
            "<!-- SPDX-License-Identifier: Apache-2.0 -->",
            f'<title id="t">{TITLE}</title>',
            f'<desc id="d">{WHAT}</desc>',
            f"<style>\n{STYLE}\n</style>",
            f'<rect class="page" width="{WIDTH}" height="{height}" rx="12"/>',
            *rows,
            "</svg>\n",
        ]
    )


def _waits(seen: Seen) -> Iterator[str]:
    """A bar for each window: the time that half of alice's calls took at most, and, paler, 99 of 100."""
    windows = [("alice alone", seen.alone), *((w.sharing, w) for w in seen.flooded)]
    longest = max(window.alice.p99_s for _, window in windows)
    yield _text(
        24, 42, "alice's calls while bob floods: the median, and what 99 of 100 take at most", "ink", 16
    )
    for number, (name, window) in enumerate(windows):
        y = 64 + ROW * number
        yield _text(24, y + 15, name, "ink")
        yield _bar(LEFT, y, _long(window.alice.p99_s, longest), "far")
        yield _bar(LEFT, y, _long(window.alice.p50_s, longest), "alice")
        yield _text(RIGHT + 16, y + 15, _said(window), "dim")


def _said(window: Window) -> str:
    alice = window.alice
    bob = f", bob {window.bobs_rate:.0f}/s" if window.came["bob"].requests else ""
    return f"{alice.p50_s * 1000:.0f} to {alice.p99_s * 1000:.0f} ms{bob}"


def _shares(seen: Seen, top: int) -> Iterator[str]:
    """A bar for each layer, in two colours."""
    yield _text(
        24, top + 16, "both flood it with calls: what each is served; alice weighs 400, bob 100", "ink", 16
    )
    y = top + 38
    for window in seen.both:
        for layer, share in window.shares.items():
            yield _text(24, y + 15, f"{window.sharing}: {layer}", "ink")
            if share is not None:
                mine = (RIGHT - LEFT) * share
                yield _bar(LEFT, y, mine, "alice")
                yield _bar(LEFT + mine, y, RIGHT - LEFT - mine, "bob")
            yield _text(RIGHT + 16 if share is not None else LEFT, y + 15, ratio(share), "dim")
            y += ROW


def _long(seconds: float, longest: float) -> float:
    return (RIGHT - LEFT) * seconds / longest


def _bar(x: float, y: float, width: float, kind: str) -> str:
    return f'<rect class="{kind}" x="{x:.1f}" y="{y}" width="{max(width, 1):.1f}" height="{BAR + 8}" rx="3"/>'


def _text(x: float, y: float, said: str, kind: str, size: int = 14) -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}" font-size="{size}">{said}</text>'
