# SPDX-License-Identifier: Apache-2.0
"""A version decides beside the chain of a real Envoy; what it would have done is what it does once it is in force."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.systems.rpc.envoy.test_upgrade import Upgraded, calling, native, until, upgraded
from tests.unit.control.acl import ACL
from transect.control.operating import Operated
from transect.rpc import echo

pytestmark = pytest.mark.needs("envoy", "gcc", "grpcio")

CALLERS = ("ann", "bob", "eve", "ann", "cleo", "bob")


@pytest.fixture
def it(tmp_path: Path) -> Iterator[Upgraded]:
    first = ACL.replace("class Acl", "class Count")
    with upgraded(tmp_path, native, first, first.replace('"bob"', '"eve"')) as made:
        yield made


def answers(it: Upgraded) -> list[str]:
    found = []
    with calling(it) as stub:
        for tenant in CALLERS:
            try:
                found.append(stub.Say(echo.Ask(text="hi"), metadata=(("x-tenant", tenant),), timeout=10).text)
            except grpc.RpcError as error:
                found.append(error.code().name)
    return found


def test_it_says_who_will_be_refused_and_is_then_put_in_force(it: Upgraded) -> None:
    operated, newer = Operated("rpc", "shop", it.host), str(it.folder / "second.py")
    before = answers(it)
    assert before == ["hi", "PERMISSION_DENIED", "hi", "hi", "hi", "PERMISSION_DENIED"]
    operated.shadow(newer)
    assert answers(it) == before, "the version in force answers"
    until(lambda: operated.status()["shadow"]["compared"] == len(CALLERS))
    assert operated.status()["version"] == 1
    told = operated.upgrade(newer)["shadow"]
    assert (told["compared"], told["whom"], told["skipped"]) == (len(CALLERS), {"bob": 2, "eve": 1}, {})
    after = answers(it)
    otherwise = [who for who, was, now in zip(CALLERS, before, after, strict=True) if was != now]
    assert sorted(otherwise) == ["bob", "bob", "eve"], "it does what it had said"
