# SPDX-License-Identifier: Apache-2.0
"""The pages of `explain`: their form, and that they say what is so."""

from __future__ import annotations

import pytest

from transect.errors import Example, Page, Prose, page, parse, titles

PAGE = """\
<!-- SPDX-License-Identifier: Apache-2.0 -->
# P006: no such field

What it means.

Why so.

```python bad
x = 1
```

What to write instead.

```python good

y = 2
```
"""


def test_a_page_is_prose_and_examples() -> None:
    assert parse(PAGE) == Page(
        "P006",
        "no such field",
        (
            Prose("What it means.\n\nWhy so."),
            Example("bad", "x = 1\n"),
            Prose("What to write instead."),
            Example("good", "\ny = 2\n"),
        ),
    )


@pytest.mark.parametrize(
    "text",
    ["P006: no hash\n", "# no code\n", "# P006: t\n```python\nx\n```\n", "# P006: t\n```python bad\nx = 1\n"],
)
def test_a_page_of_another_form_is_a_mistake_of_ours(text: str) -> None:
    with pytest.raises(AssertionError):
        parse(text)


def test_a_code_without_a_page() -> None:
    assert page("P999") is None
    assert page("../../etc/passwd") is None


def test_titles_come_from_the_pages() -> None:
    assert titles()["P006"] == "an unknown state field"
