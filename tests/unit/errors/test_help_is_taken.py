# SPDX-License-Identifier: Apache-2.0
"""The help of a page's bad example, where it says what to write: written there, again and again, it leads to a policy
that is accepted."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.unit.errors.test_examples import FRONT_END, WITHOUT_EXAMPLES, text_of, written
from transect.base.diagnostic import Diagnostic
from transect.core.frontend import compile_text

MOST = 4  # times that help is followed in one example

NEEDS_THOUGHT = {
    "P001": "what was meant where the text is no Python",
    "P003": "which parts of nested code get names",
    "P004": "what the module was wanted for",
    "P005": "which of the names that there are",
    "P007": "a name that is like no other",
    "P011": "a value of another type",
    "P014": "what a call gets that fails the test",
    "P016": "how a helper is called",
    "P017": "which field holds the state",
    "P018": "what the loop computes",
    "P019": "what the loop tells what follows it",
    "P020": "the arguments",
    "P021": "what stands for an entry that is not there",
    "P022": "what happens without a value",
    "P023": "which verdict",
    "P024": "which value",
    "P025": "the key that the copy came from",
    "P026": "which keys",
    "P028": "how many entries",
    "P029": "how copies agree",
    "P030": "which type",
    "P032": "which field",
    "P033": "what the function does",
    "P034": "what is smallest",
    "P035": "what the text was for",
    "P037": "which field of its own",
    "P039": "which smaller number",
    "P040": "which sort of table, of how many entries",
    "P042": "another name",
    "P045": "which field",
    "P046": "which constant",
    "P047": "what stands within",
    "P048": "the fields of the version before",
    "P049": "what may be computed before",
    "P050": "what is counted",
    "P051": "how large the answer need be",
    "P052": "the digest to compare with",
    "P060": "which verdict",
}


def placed(lines: list[str], found: Diagnostic, text: str) -> str:
    """The example with `text` in the place of what the diagnostic points at."""
    span = found.span
    assert span.line == span.end_line, "it points at one line"
    line = lines[span.line - 1]
    rest = line[span.end_column :]
    if text.startswith("def ") and not text.endswith(":"):  # as much of the line as the help repeats
        rest = line[line.index("(") :]
    lines[span.line - 1] = line[: span.column] + text + rest
    return "\n".join(lines)


def above(lines: list[str], found: Diagnostic, text: str) -> str:
    lines.insert(found.span.line - 1, text)
    return "\n".join(lines)


def imported(lines: list[str], found: Diagnostic, text: str) -> str:
    return "\n".join([text, *lines])


def statement(lines: list[str], found: Diagnostic, text: str) -> str:
    at = found.span.line - 1
    lines[at] = lines[at][: found.span.column] + text
    return "\n".join(lines)


Edit = Callable[[list[str], Diagnostic, str], str]
SAID: dict[str, Edit] = {
    r"import it: `(from [^`…]*)`": imported,
    r"put `(@\w+)` above": above,
    r"compare it: `([^`…]*)`": placed,
    r"say what then: `([^`…]*)`": placed,
    r"in place of this statement write `([^`]*)`": statement,
    r"or `(range\(min\([^`…]*\)\))`": lambda lines, found, text: placed(
        lines, found, text.removeprefix("range(").removesuffix(")")
    ),
    r"or write `([^`…]*)`": placed,
    r"write `(def)`; handlers never wait": lambda lines, found, text: "\n".join(lines).replace(
        "async def", text
    ),
    r"write `([^`…]*)`": placed,
}


def followed(text: str) -> str:
    """The example after the first help that says what to write; the same where none does."""
    for found in compile_text(text, "example.py").diagnostics:
        for said, edit in SAID.items():
            if code := re.search(said, found.help):
                return edit(text.split("\n"), found, code[1])
    return text


def errors(text: str) -> list[str]:
    return [d.code for d in compile_text(text, "example.py").diagnostics]


@pytest.mark.parametrize("code", sorted(FRONT_END - WITHOUT_EXAMPLES.keys() - NEEDS_THOUGHT.keys()))
def test_what_it_says_is_accepted(code: str) -> None:
    for example in written(code).examples("bad"):
        text, times = example, 0
        while errors(text) and times < MOST:
            text, times = followed(text), times + 1
        assert not errors(text), text_of(text) + "\n" + text
        assert times >= 1


@pytest.mark.parametrize("code", sorted(NEEDS_THOUGHT))
def test_what_needs_thought_is_not_said_in_full(code: str) -> None:
    """Else it is followed above."""
    for example in written(code).examples("bad"):
        text = example
        for _ in range(MOST):
            text = followed(text)
        assert errors(text), text
