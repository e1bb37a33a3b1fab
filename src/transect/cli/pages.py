# SPDX-License-Identifier: Apache-2.0
"""An error's page in a terminal, or as plain text where there is none."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from transect.cli.checking import in_color
from transect.errors import Example, Page, Prose

WIDTH = 88
HEADING = {"proto": "with these messages:", "bad": "this is refused:", "good": "this is accepted:"}
COLOR = {"proto": "bold", "bad": "red", "good": "green"}


def print_page(page: Page) -> None:
    if in_color():
        _print_rich(page)
    else:
        print("\n".join(plain(page)))


def plain(page: Page) -> Iterator[str]:
    """The lines of the page without any decoration."""
    yield f"{page.code}: {page.title}"
    for part in page.parts:
        yield ""
        match part:
            case Prose(text):
                yield from _wrapped(text)
            case Example(mark, code):
                yield f"  {HEADING[mark]}"
                yield ""
                yield from textwrap.indent(code.rstrip("\n"), "    ").split("\n")


def _wrapped(text: str) -> Iterator[str]:
    """Paragraphs filled; lists and tables as they are."""
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            yield ""
        if paragraph.lstrip().startswith(("-", "|", "*")):
            yield from paragraph.split("\n")
        else:
            yield from textwrap.wrap(" ".join(paragraph.split()), WIDTH)


def _print_rich(page: Page) -> None:
    from rich.console import Console
    from rich.markdown import Markdown
    from rich.padding import Padding
    from rich.syntax import Syntax
    from rich.text import Text
    from rich.theme import Theme

    theme = Theme({"markdown.code": "cyan"})
    console = Console(theme=theme, highlight=False, force_terminal=True)
    console.width = min(console.width, WIDTH + 4)
    console.print(Text.assemble((page.code, "bold red"), (f": {page.title}", "bold")))
    for part in page.parts:
        console.print()
        match part:
            case Prose(text):
                console.print(Markdown(text))
            case Example(mark, code):
                console.print(Text(f"  {HEADING[mark]}", COLOR[mark]))
                console.print()
                syntax = Syntax(
                    code.rstrip("\n"),
                    "protobuf" if mark == "proto" else "python",
                    theme="ansi_dark",
                    background_color="default",
                    word_wrap=True,  # else the end of a long line is not shown
                )
                console.print(Padding(syntax, (0, 0, 0, 4)))
