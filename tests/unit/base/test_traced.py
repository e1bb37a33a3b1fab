# SPDX-License-Identifier: Apache-2.0
"""What `trace` writes into a log, whatever a client's text holds."""

from __future__ import annotations

import logging

import pytest

from transect.base.traced import A_SECOND, CUT, LONGEST, Traced, line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("größe of /shop/Buy", "größe of /shop/Buy"),
        ("x\nERROR forged", r"x\x0aERROR forged"),
        ("\x1b[2J\x00\x7f\x85", r"\x1b[2J\x00\x7f\x85"),
        ("a\u2028b\u202ec\u2066d", r"a\u2028b\u202ec\u2066d"),
        (r"\x0a", r"\\x0a"),
    ],
)
def test_a_line_is_one_line_and_shows_what_it_holds(text: str, expected: str) -> None:
    assert line(text) == expected


def test_a_long_text_is_cut_between_characters() -> None:
    assert line("a" * LONGEST) == "a" * LONGEST
    assert line("a" + "ö" * LONGEST) == "a" + "ö" * (LONGEST // 2 - 1) + CUT


def test_lines_beyond_the_limit_are_counted_and_the_next_one_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [7.0]
    traced = Traced(lambda: now[0])
    with caplog.at_level(logging.INFO, "transect"):
        for number in range(A_SECOND + 5):
            traced.say("Acl", f"line {number}")
        assert [r.getMessage() for r in caplog.records] == [f"line {n}" for n in range(A_SECOND)]
        assert (traced.written, traced.left_out) == (A_SECOND, 5)
        now[0] += 1
        traced.say("Acl", "again", more=2)
        assert (traced.written, traced.left_out) == (A_SECOND + 1, 7)
    told = [(r.name, r.levelname, r.getMessage()) for r in caplog.records[A_SECOND:]]
    assert told == [
        ("transect.Acl", "WARNING", "5 lines of `trace` were left out: there were too many in a second"),
        ("transect.Acl", "INFO", "again"),
    ]


def test_what_nobody_wants_to_read_is_neither_written_nor_left_out() -> None:
    traced = Traced()
    logging.getLogger("transect.Quiet").setLevel(logging.ERROR)
    traced.say("Quiet", "x", more=3)
    assert (traced.written, traced.left_out) == (0, 0)
