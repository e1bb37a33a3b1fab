# SPDX-License-Identifier: Apache-2.0
"""`transect demo` where parts are missing: what stands in is said, and is no failure."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.unit.cli.terminal import Run
from transect.base.unavailable import Unavailable
from transect.cli import demo
from transect.cli.demo import What
from transect.demos.shown import Shown


def lacks() -> Shown:
    raise Unavailable("the rpc stratum", "grpc is not installed", "pip install 'transect[rpc]'")


@pytest.mark.parametrize(
    ("words", "rpc", "cpu", "code", "said"),
    [
        ([], lambda: Shown(True), lambda: Shown(True), 0, ""),
        ([], lambda: Shown(True), lambda: Shown(True, ("a simulation",)), 0, "Shown instead: a simulation."),
        (
            [],
            lacks,
            lambda: Shown(True, ("a simulation",)),
            0,
            "Shown instead: nothing for rpc; a simulation.",
        ),
        (["rpc"], lacks, lambda: Shown(True), 3, "grpc is not installed"),
        ([], lambda: Shown(False), lambda: Shown(True), 1, ""),
    ],
)
def test_what_stands_in_is_said_and_only_what_is_wrong_fails(
    transect: Run,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    rpc: Callable[[], Shown],
    cpu: Callable[[], Shown],
    code: int,
    said: str,
) -> None:
    others = dict.fromkeys(What, lambda *_: Shown(True))
    monkeypatch.setattr(demo, "DEMOS", {**others, What.RPC: rpc, What.CPU: cpu})
    ended = transect("demo", *words)
    assert ended.code == code
    assert said in ended.out + ended.err
    assert ("Shown instead" in ended.out) == ("Shown instead" in said)
