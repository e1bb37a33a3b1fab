# SPDX-License-Identifier: Apache-2.0
"""What a person reads when a policy is wrong."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from transect.base.diagnostic import Diagnostic, Label, Severity
from transect.base.render import render_text
from transect.base.snippet import width
from transect.base.span import NOWHERE, Span

BAD = """\
class FairShare(Arbiter):
    served: Tally[Client, int] = tally(64)

    def arrive(self, client: Client) -> None:
        floor = min(
            self.served[client],
            self.level,
            0,
            1,
            2,
        )
        self.served[client] = max(floor, self.level)
        return self.serving[client]
"""


def at(line: int, column: int, end_line: int, end_column: int, path: str = "bad.py") -> Span:
    return Span(path, line, column, end_line, end_column)


def error(span: Span, label: str = "here", *others: Label, help: str = "", note: str = "") -> Diagnostic:
    return Diagnostic(Severity.ERROR, "P006", "no state field `serving`", span, label, others, help, note)


def shown(*diagnostics: Diagnostic, color: bool = False, **files: str) -> str:
    sources = {"bad.py": BAD} | {f"{name}.py": text for name, text in files.items()}
    return "\n" + render_text(diagnostics, sources, color=color) + "\n"


def test_the_form_of_the_design() -> None:
    declared = Label(at(2, 4, 2, 10), "a field with a close name is declared here")
    found = error(at(13, 15, 13, 27), "unknown field", declared, help="write `self.served[client]`")
    assert shown(found) == snapshot("""
error[P006]: no state field `serving`
  --> bad.py:13:16
   |
 2 |     served: Tally[Client, int] = tally(64)
   |     ------ a field with a close name is declared here
13 |         return self.serving[client]
   |                ^^^^^^^^^^^^ unknown field
   = help: write `self.served[client]`
""")


def test_several_diagnostics_have_an_empty_line_between() -> None:
    first = Diagnostic(Severity.WARNING, "P040", "never read", at(2, 4, 2, 10))
    assert shown(first, error(at(4, 8, 4, 14))) == snapshot("""
warning[P040]: never read
 --> bad.py:2:5
  |
2 |     served: Tally[Client, int] = tally(64)
  |     ^^^^^^

error[P006]: no state field `serving`
 --> bad.py:4:9
  |
4 |     def arrive(self, client: Client) -> None:
  |         ^^^^^^ here
""")


def test_labels_of_one_line_hang_below_it() -> None:
    others = Label(at(12, 30, 12, 33), "this call"), Label(at(12, 34, 12, 39), "this argument")
    assert shown(error(at(12, 8, 12, 27), "stored here", *others)) == snapshot("""
error[P006]: no state field `serving`
  --> bad.py:12:9
   |
12 |         self.served[client] = max(floor, self.level)
   |         ^^^^^^^^^^^^^^^^^^^   --- ----- this argument
   |         |                     |
   |         |                     this call
   |         stored here
""")


def test_a_label_inside_another_one() -> None:
    assert shown(error(at(12, 8, 12, 27), "this place", Label(at(12, 20, 12, 26), "its key"))) == snapshot("""
error[P006]: no state field `serving`
  --> bad.py:12:9
   |
12 |         self.served[client] = max(floor, self.level)
   |         ^^^^^^^^^^^^------^
   |         |           |
   |         |           its key
   |         this place
""")


def test_two_labels_at_one_place() -> None:
    place = at(12, 8, 12, 27)
    assert shown(error(place, "first", Label(place, "second"))) == snapshot("""
error[P006]: no state field `serving`
  --> bad.py:12:9
   |
12 |         self.served[client] = max(floor, self.level)
   |         ^^^^^^^^^^^^^^^^^^^
   |         |
   |         second
   |         first
""")


def test_a_span_over_several_lines() -> None:
    assert shown(error(at(5, 16, 7, 23), "cut short")) == snapshot("""
error[P006]: no state field `serving`
 --> bad.py:5:17
  |
5 |           floor = min(
  |  _________________^
6 | |             self.served[client],
7 | |             self.level,
  | |_______________________^ cut short
""")


def test_a_long_span_leaves_its_middle_out_and_nests() -> None:
    function = Label(at(4, 4, 13, 35), "in this handler")
    assert shown(error(at(5, 16, 11, 9), "this minimum", function)) == snapshot("""\

error[P006]: no state field `serving`
  --> bad.py:5:17
   |
 4 | /       def arrive(self, client: Client) -> None:
 5 | |           floor = min(
   | |  _________________^
...  | |
11 | | |         )
   | | |_________^ this minimum
...  |
13 | |           return self.serving[client]
   | |_____________________________________- in this handler
""")


def test_spans_that_do_not_meet_share_a_bar() -> None:
    second = Label(at(12, 8, 13, 35), "and these")
    assert shown(error(at(6, 12, 7, 23), "these", second)) == snapshot("""
error[P006]: no state field `serving`
  --> bad.py:6:13
   |
 6 | /             self.served[client],
 7 | |             self.level,
   | |_______________________^ these
12 | /         self.served[client] = max(floor, self.level)
13 | |         return self.serving[client]
   | |___________________________________- and these
""")


def test_labels_in_another_file() -> None:
    other = Label(at(2, 0, 2, 5, "base.py"), "declared here")
    assert shown(error(at(13, 15, 13, 27), "unknown", other), base="class Base:\n    x = 1\n") == snapshot("""
error[P006]: no state field `serving`
  --> bad.py:13:16
   |
13 |         return self.serving[client]
   |                ^^^^^^^^^^^^ unknown
  ::: base.py:2:1
   |
 2 |     x = 1
   | ----- declared here
""")


def test_tabs_and_wide_characters_keep_the_carets_in_place() -> None:
    text = "\tx = '日本語', y\n"
    found = error(at(1, 12, 1, 13, "wide.py"), "this", Label(at(1, 5, 1, 10, "wide.py"), "a text"))
    assert shown(found, wide=text) == snapshot("""
error[P006]: no state field `serving`
 --> wide.py:1:13
  |
1 |     x = '日本語', y
  |         --------  ^ this
  |         |
  |         a text
""")


def test_nothing_in_a_source_reaches_the_terminal_as_a_command() -> None:
    text = "x = '\x1b[31m\u202e\x07'  # \u200bhidden\n"
    diagnostic = Diagnostic(
        Severity.ERROR, "P001", "text \x1b[1m", at(1, 4, 1, 13, "evil.py"), "\x1b]0;title\x07"
    )
    printed = shown(diagnostic, evil=text)
    assert printed == snapshot("""
error[P001]: text ␛[1m
 --> evil.py:1:5
  |
1 | x = '␛[31m�␇'  # �hidden
  |     ^^^^^^^^^ ␛]0;title␇
""")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u200b\u202e]", printed)


def test_a_very_long_line_is_cut_around_the_mark() -> None:
    text = "x + " * 1000 + "oops" + " + y" * 1000
    *_, line, marks = render_text([error(at(1, 4000, 1, 4004, "long.py"))], {"long.py": text}).split("\n")
    assert len(line) < 170 and line.startswith("1 | …") and line.endswith("…")
    assert line[marks.index("^") :].startswith("oops")
    assert marks.count("^") == 4


def test_a_file_whose_text_is_missing() -> None:
    others = Label(at(9, 1, 9, 2, "gone.py"), "and that"), Label(at(2, 4, 2, 10), "declared here")
    assert shown(error(at(3, 4, 3, 9, "gone.py"), "this", *others, help="look there")) == snapshot("""
error[P006]: no state field `serving`
 --> gone.py:3:5
  | this
  | and that (line 9)
 ::: bad.py:2:5
  |
2 |     served: Tally[Client, int] = tally(64)
  |     ------ declared here
  = help: look there
""")


def test_no_place_at_all_and_a_file_as_a_whole() -> None:
    whole = Span("empty.py", 0, 0, 0, 0)
    assert shown(error(NOWHERE, help="do that"), error(whole, ""), empty="") == snapshot("""
error[P006]: no state field `serving`
  = help: do that

error[P006]: no state field `serving`
 --> empty.py
""")


def test_help_and_note_of_several_lines() -> None:
    assert shown(error(at(2, 4, 2, 10), "", help="write\n    x = 1", note="because")) == snapshot("""
error[P006]: no state field `serving`
 --> bad.py:2:5
  |
2 |     served: Tally[Client, int] = tally(64)
  |     ^^^^^^
  = help: write
              x = 1
  = note: because
""")


def test_the_end_of_a_file_and_of_a_line_can_be_pointed_at() -> None:
    assert shown(error(at(14, 0, 14, 1)), error(at(2, 42, 2, 42), "more wanted")) == snapshot("""
error[P006]: no state field `serving`
  --> bad.py:14:1
   |
14 |
   | ^ here

error[P006]: no state field `serving`
 --> bad.py:2:43
  |
2 |     served: Tally[Client, int] = tally(64)
  |                                           ^ more wanted
""")


def test_color_adds_escape_sequences_and_changes_no_character() -> None:
    found = error(at(5, 16, 7, 23), "cut short", Label(at(2, 4, 2, 10), "field"), help="so")
    colored = shown(found, color=True)
    assert colored.startswith("\n\x1b[1;31merror[P006]\x1b[0m\x1b[1m: no state field `serving`\x1b[0m\n")
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == shown(found)


spans = st.builds(
    at,
    st.integers(0, 5),
    st.integers(0, 20),
    st.integers(0, 6),
    st.integers(0, 30),
    st.sampled_from(["a", "b", "gone"]),
)
labels = st.builds(Label, spans, st.text(max_size=5))
diagnostics = st.builds(
    Diagnostic,
    st.sampled_from(Severity),
    st.just("P001"),
    st.text(),
    spans,
    st.text(max_size=9),
    st.lists(labels, max_size=4).map(tuple),
)


@given(diagnostics, st.text(max_size=60), st.booleans())
def test_any_span_in_any_text_is_rendered(found: Diagnostic, text: str, color: bool) -> None:
    printed = render_text([found], {"a": text, "b": "x = 1\n\ty\n"}, color=color)
    assert printed.startswith(("error", "warning", "note")) or color
    assert all(
        character.isprintable() or character in "\n\x1b" or not character.isascii() for character in printed
    )


def test_width_counts_columns_of_a_terminal() -> None:
    assert [width(text) for text in ("abc", "日本", "e\u0301", "")] == [3, 4, 1, 0]


def test_a_very_long_word_of_a_message_is_shown_by_its_ends() -> None:
    """Not in the help, which is there to be copied."""
    name = "begin" + "x" * 1_000 + "end"
    found = Diagnostic(Severity.ERROR, "P006", f"no field `{name}`", at(1, 6, 1, 15), name, (), name, name)
    message, label, help, note = (line for line in shown(found).splitlines() if "beginx" in line)
    assert all(
        len(line) < 220 and line.rstrip("`").endswith("xend") and "…" in line
        for line in (message, label, note)
    )
    assert help.endswith(f"help: {name}")
