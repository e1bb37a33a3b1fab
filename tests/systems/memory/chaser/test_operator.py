# SPDX-License-Identifier: Apache-2.0
"""`--via xdp`: what an operator of a live machine that granted its memory gets, and what is said where it cannot be."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.systems.memory.guest import Guest
from tests.systems.memory.network import TAP, Network, granted
from transect.cli import main
from transect.memory.chaser.engine import in_xdp
from transect.memory.target import BadTarget, open_target

pytestmark = [
    pytest.mark.needs("root", "clang", "vm"),
    pytest.mark.parametrize("guest", ["6.12"], indirect=True),
]
WALKED = ("ProcessList", "Credentials", "ModuleList", "BorrowedCredentials", "HiddenModules")


@pytest.fixture(scope="module")
def target(guest: Guest) -> Iterator[list[str]]:
    """The machine's address, and its kernel; this thread is in its network meanwhile."""
    assert guest.network is not None
    with guest.network.entered(), granted(guest, TAP) as told:
        yield [f"roce://{TAP.peer}/{told}", "--kernel", str(guest.target.image)]


def answers(text: str) -> tuple[list[dict[str, Any]], list[set[str]]]:
    """What each probe said, without what it cost; and what it listed."""
    probes = json.loads(text)["probes"]
    apart = ("reads", "seconds", "rounds", "shown")
    said = [{k: v for k, v in probe.items() if k not in apart} for probe in probes]
    return said, [{json.dumps(line, sort_keys=True) for line in probe["shown"]} for probe in probes]


def test_a_scan_says_what_the_ram_file_says(
    guest: Guest, target: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The machine lives, since it answers: its workers come and go, so the file is read before and afterwards."""
    words = [*WALKED, "Interrupts", "--format", "json"]
    file = ["memory", "scan", f"ram:{guest.ram}", *target[1:], *words]
    with guest.tampered("netfilter"):
        assert main(file) == 1
        before, listed_before = answers(capsys.readouterr().out)
        assert main(["memory", "scan", *target, *words, "--via", "xdp"]) == 1
        got, said = capsys.readouterr()
        assert main(file) == 1
        after, listed_after = answers(capsys.readouterr().out)
    through, listed = answers(got)
    assert before == through == after and len(listed) == len(WALKED) + 1
    for earlier, now, later in zip(listed_before, listed, listed_after, strict=True):
        assert earlier & later <= now <= earlier | later
    assert len(listed[0]) > 30, "processes"
    assert "in the network: " in said and ", HiddenModules, " in said
    assert "by the observer alone: Interrupts" in said
    assert "done again" not in said


def test_a_watch_tells_what_it_finds(
    guest: Guest, target: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["HiddenModules", "--rounds", "6", "--every", "0", "--name", f"chaser-{os.getpid()}"]
    with guest.tampered("netfilter"):
        assert main(["memory", "run", *target, *words, "--via", f"xdp:{Network.interface}"]) == 1
    out, err = capsys.readouterr()
    assert "found      HiddenModules: in the tree, not in the list" in out
    assert re.search(r"in the network: \d walks? of HiddenModules", err)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["Interrupts", "--via", "xdp"], "Interrupts: nothing of this probe can run in the network"),
        (["ProcessList", "--via", "xdp:none9"], "there is no network interface `none9`"),
        (["ProcessList", "--via", "p5"], "`--via p5` is not known"),
        (["ProcessList", "--via", "xdp", "--engine", "c"], "`--engine c` is for memory in a file"),
        (["ProcessList", "--via", "xdp", "--record", "/nowhere"], "--record and --via do not go together"),
    ],
)
def test_what_cannot_be_is_said(
    target: list[str], capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(["memory", "scan", *target, *words]) == 2
    assert said in capsys.readouterr().err


def test_another_program_on_the_interface_stays(guest: Guest, target: list[str]) -> None:
    machine = open_target(target[0], guest.target.image)
    physical = machine.physical
    try:
        with in_xdp(machine), pytest.raises(BadTarget, match="another XDP program is on `chaser0`"):
            with in_xdp(machine):
                pass
        with in_xdp(machine):  # the first one is gone
            pass
    finally:
        physical.close()  # type: ignore[attr-defined]
