# SPDX-License-Identifier: Apache-2.0
"""A plan is of elements that carriers take."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.terminal import Run

POLICY = """
from transect.rpc import Element, Forward, Rpc, Verdict

class Hurry(Element):
    def request(self, rpc: Rpc) -> Verdict:
        rpc.headers.set("grpc-timeout", "1S")
        return Forward()
"""
CHAIN = """
from hurry import Hurry
from transect.rpc import Chain

chain = Chain(service="shop.Shop", upstream="127.0.0.1:1", listen="127.0.0.1:2", elements=[Hurry(), Hurry()])
"""


def test_what_carriers_refuse_is_refused_by_a_plan(
    transect: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("hurry.py").write_text(POLICY)
    Path("chain.py").write_text(CHAIN)
    done = transect("rpc", "plan", "chain.py")
    assert done.code == 1
    assert (done.out + done.err).count('error[R022]: "grpc-timeout" belongs to the protocol') == 1
