# SPDX-License-Identifier: Apache-2.0
"""Texts of programs that somebody has spoilt: the reader says what it wanted, the verifier which rule is broken."""

from __future__ import annotations

import pytest

from tests.unit.core.sink import changed, sink
from transect.core.ir import Stage
from transect.core.text import TextError, dump, parse
from transect.core.verify import verify


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("policy Sink stratum 'rpc'", "policy Sink stratum 3", "expected a text, found 3"),
        ("tally<#Client, int, 16>", "tally<#Client, int, 'a'>", "expected an integer, found 'a'"),
        ("path 'sink.py'", "paths 'sink.py'", "expected 'path', found 'paths'"),
        ("state level: int = 0", "status level: int = 0", "'status' begins no declaration"),
        ("structs (Forward, Reject", "structs (Verdict, Reject", "Verdict is no struct"),
        ("unions (Verdict)", "unions (Forward)", "Forward is no union"),
        ("store .began = %now()", "store .nothing = %now()", "there is no such place"),
        ("message: str = ''", "message: str = [", r"expected a plain value, found '\['"),
        ("case =0:", "case =n:", "a pattern compares with a constant"),
        ("path 'sink.py'", r"path '\U99999999'", "is no text"),
    ],
)
def test_the_reader_says_what_it_wanted(old: str, new: str, message: str) -> None:
    text = dump(sink())
    assert old in text
    with pytest.raises(TextError, match=message):
        parse(text.replace(old, new, 1))


def test_a_text_that_ends_too_early() -> None:
    with pytest.raises(TextError, match="the text ends too early"):
        parse("transect-ir 1\npolicy P stratum '' base 'Arbiter' stage CHECKED\n")


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        (".buckets.len()", ".bucket.len()::int", "I001 no Lookup has such operands"),
        ("@_count(user)", "@_counts(user)::int", "I001 no Call has such operands"),
        ("(t != '')", "(rpc > rpc)::bool", "I002 `>` does not take Rpc"),
        ("(.level > 3)", "(.slots == .slots)::bool", "I002"),
        ("'anonymous'", "0::&Ask", "I002 0 is no Ask"),
        ("for c in values(.waiting):", "for c, k in values(.waiting):", "I002 2 targets for 1 value"),
    ],
)
def test_the_verifier_names_the_rule(old: str, new: str, wanted: str) -> None:
    found = [f"{d.code} {d.message}" for d in verify(changed(old, new), Stage.CHECKED)]
    assert any(fault.startswith(wanted) for fault in found), found
