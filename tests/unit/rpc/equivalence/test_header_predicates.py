# SPDX-License-Identifier: Apache-2.0
"""What the solver takes for a header is what carriers take for one."""

from __future__ import annotations

import pytest

from transect.analysis import fold
from transect.analysis.solve import Answer, Question
from transect.analysis.terms import Sort, text, var
from transect.analysis.text_predicates import TextPredicate
from transect.rpc.equivalence.header_predicates import BASE64, BINARY, NAME, PRINTABLE, UNREADABLE

ALL = (BASE64, BINARY, NAME, PRINTABLE, UNREADABLE)
TEXTS = (
    *(
        "",
        "a",
        "ab",
        "abc",
        "abcd",
        "abcde",
        "ab=",
        "ab==",
        "ab===",
        "abc=",
        "abc==",
        "abcd=",
        "=",
        "====",
        "ab=c",
        "a+/Z",
    ),
    *(
        "a b",
        "~ !",
        "a\nb",
        "\x7f",
        "\x1f",
        "é",
        "aé",
        "x-user",
        "x_u.9",
        "X-User",
        "x user",
        "te",
        "grpc-a",
        ":path",
    ),
    *("user-agent", "User-Agent", "grpc", "hosts", "x-bin", "-bin", "x-binx", "!", "é!" * 9),
)


@pytest.mark.needs("z3")
@pytest.mark.parametrize("predicate", [p for p in ALL if p.language is not None], ids=lambda p: p.name)
def test_a_language_is_the_texts_of_which_the_predicate_holds(predicate: TextPredicate) -> None:
    x = var("x", Sort.TEXT)
    for one in map(str.encode, TEXTS):
        parts = [fold.equal(x, text(one)), fold.is_such(predicate, x)]
        found = Question(parts, exact=True, texts=True, plain=False).ask().answer
        assert found is (Answer.SOMETIMES if predicate.holds(one) else Answer.NEVER), one


@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize("predicate", ALL, ids=lambda p: p.name)
def test_an_example_has_the_answer_that_it_is_made_for(predicate: TextPredicate, wanted: bool) -> None:
    for one in (b"Text7", b"Text12", b"c", b"ab", b"te", b"user-agent", "é7".encode()):
        assert predicate.holds(predicate.mended(one, wanted)) is wanted, one
