# SPDX-License-Identifier: Apache-2.0
"""What an upgrade says of each field."""

from __future__ import annotations

from tests.unit.core.running import compiled
from transect.core.schema import schema
from transect.rpc.versions.upgrade import Handover, Origin, Version

COUNT = """
class Count(Element):
    n: int = 0
    def request(self, rpc: Rpc) -> Verdict:
        self.n += 1
        return Forward()
"""


def test_of_two_elements_of_one_policy_each_is_told() -> None:
    old, new = compiled(COUNT), compiled(COUNT.replace("n: int", "n: float"))
    version = Version((new, old, old), ())
    handover = Handover.of([Origin("Count", schema(old)), Origin("Count", schema(old))], version)
    told = handover.fields()
    assert told["Count.n"].startswith("refuse") and told["Count.2.n"] == "keep" and told["Count.3"] == "new"
    fewer = Handover.of(handover.old, Version((old,), ()))
    assert fewer.fields() == {"Count.n": "keep", "Count.2": "dropped"}
