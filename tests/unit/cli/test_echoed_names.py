# SPDX-License-Identifier: Apache-2.0
"""What a user or a file calls something is shown in messages as it is: nothing in it acts on the terminal, makes up a
line of its own, or fills the screen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.cli.terminal import Run
from transect.base.unavailable import Unavailable
from transect.cli import failure
from transect.cli.control import show
from transect.control import ControlError, Refused

ESCAPES = "\x1b[31mred\x07\u202e"
SAFE = "\u241b[31mred\u2407\ufffd"
TWO_LINES = "a\ntransect: all is well"


def refused(why: str, hint: str) -> int:
    def ask() -> int:
        raise Refused(why, hint)

    return show(ask)


def not_reached(why: str) -> int:
    def ask() -> int:
        raise ControlError(why)

    return show(ask)


SAID: dict[str, Callable[[str], object]] = {
    "usage": lambda name: failure.usage(f"no such file: {name}", f"write {name}"),
    "unavailable": lambda name: failure.unavailable(Unavailable(name, "it is not here", f"write {name}")),
    "a file": lambda name: failure.report(OSError(2, "No such file or directory", name), []),
    "our own mistake": lambda name: failure.report(AssertionError(name), ["check", name]),
    "a policy that is refused": lambda name: failure.refused(f"no policy {name}"),
    "an instance that refuses": lambda name: refused(f"no field {name}", f"write {name}"),
    "an instance that does not answer": lambda name: not_reached(f"{name} is busy"),
}


@pytest.mark.parametrize("what", SAID)
def test_no_escape_sequence_of_a_name_reaches_the_terminal(
    what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    SAID[what](ESCAPES)
    said = capsys.readouterr().err
    assert SAFE in said
    assert "\x1b" not in said and "\x07" not in said and "\u202e" not in said


@pytest.mark.parametrize("what", ["usage", "a file", "unavailable"])
def test_no_name_makes_a_line_of_its_own(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    SAID[what](TWO_LINES)
    assert "\ntransect: all is well" not in capsys.readouterr().err


@pytest.mark.parametrize("what", [what for what in SAID if what != "our own mistake"])
def test_a_very_long_name_is_shown_by_its_ends(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    SAID[what]("begin" + "x" * 5_000 + "end")
    said = capsys.readouterr().err
    assert len(said) < 700
    assert "beginxxx" in said and "xxxend" in said and "…" in said


def test_an_ordinary_path_is_shown_whole(capsys: pytest.CaptureFixture[str]) -> None:
    path = "/home/alice/" + "deep/" * 25 + "policy.py"
    failure.no_file(path)
    assert path in capsys.readouterr().err


@pytest.mark.parametrize("command", ["check", "explain", "prove", "replay", "rpc run", "llm run", "cpu run"])
def test_every_command_does(command: str, transect: Run, tmp_path: Path) -> None:
    ended = transect(*command.split(), f"{tmp_path}/{ESCAPES}.py")
    assert ended.code == 2 and "[31mred" in ended.err
    assert not any(sign in ended.err for sign in "\x1b\x07\u202e")
