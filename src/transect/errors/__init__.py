# SPDX-License-Identifier: Apache-2.0
"""Pages of `transect explain`: one file a code, all of one form.

    # P006: no such state field

    What it means, and why the language has this rule.

    ```python bad
    …
    ```

    What to write instead.

    ```python good
    …
    ```

Examples say in their fence whether they are `bad` (give exactly this code) or `good` (give none); a test runs them.
Codes which speak of a service's messages have a `proto` fence before them, which both examples are bound to.
Documentation includes the same files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent

_TITLE = re.compile(r"# (?P<code>[A-Z]\d{3}): (?P<title>.+)")
_FENCE = re.compile(r"```(?P<language>python|proto|toml)(?: (?P<mark>\w+))?")


@dataclass(frozen=True, slots=True)
class Prose:
    """One or more paragraphs."""

    text: str


@dataclass(frozen=True, slots=True)
class Example:
    """Policy code whose `mark` is `bad` or `good`, or messages (`proto`)."""

    mark: str
    code: str


@dataclass(frozen=True, slots=True)
class Page:
    code: str
    title: str
    parts: tuple[Prose | Example, ...]

    def examples(self, mark: str) -> tuple[str, ...]:
        return tuple(part.code for part in self.parts if isinstance(part, Example) and part.mark == mark)


def codes() -> list[str]:
    """Every code that has a page."""
    return sorted(path.stem for path in FOLDER.glob("*.md"))


def page(code: str) -> Page | None:
    """The page of a code; None when there is none."""
    path = FOLDER / f"{code}.md"
    return parse(path.read_text(encoding="utf-8")) if code.isalnum() and path.is_file() else None


def titles() -> dict[str, str]:
    """The short title of every code."""
    return {
        code: _title(_lines((FOLDER / f"{code}.md").read_text(encoding="utf-8"))[0])[1] for code in codes()
    }


def parse(text: str) -> Page:
    """A page from its Markdown; a page that has not the form is a mistake of ours."""
    first, *rest = _lines(text)
    code, title = _title(first)
    return Page(code, title, tuple(_parts(rest)))


def _lines(text: str) -> list[str]:
    return re.sub(r"<!--.*?-->\n*", "", text, flags=re.DOTALL).splitlines()


def _title(line: str) -> tuple[str, str]:
    found = _TITLE.fullmatch(line)
    assert found, f"a page begins with `# P006: title`, not with {line!r}"
    return found["code"], found["title"]


def _parts(lines: list[str]) -> Iterator[Prose | Example]:
    kept: list[str] = []
    mark: str | None = None  # of the fence that we are in
    for line in lines:
        fence = _FENCE.fullmatch(line)
        if mark is None and fence:
            yield from _prose(kept)
            kept, mark = [], "proto" if fence["language"] == "proto" else fence["mark"]
            assert mark in ("bad", "good", "proto"), f"an example is marked bad or good: {line!r}"
        elif mark is not None and line == "```":
            yield Example(mark, "\n".join(kept) + "\n")
            kept, mark = [], None
        else:
            kept.append(line)
    assert mark is None, "a fence of this page does not end"
    yield from _prose(kept)


def _prose(lines: list[str]) -> Iterator[Prose]:
    text = "\n".join(lines).strip("\n")
    if text:
        yield Prose(text)
