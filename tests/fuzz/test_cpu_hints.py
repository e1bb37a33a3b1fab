# SPDX-License-Identifier: Apache-2.0
"""Whatever an application says of itself is taken, or refused in words that can be sent."""

from __future__ import annotations

import json
from pathlib import Path

from tests.fuzz.reading import inputs
from transect.cpu.built import Built
from transect.cpu.hints.broker import Unwelcome, known, refusal

SAYS, HEARS = ("Cores", ("count", "priority")), ("granted", ("core",))
POLICY = Built(name="Arachne", source="", object=Path(), schema={}, hears=(SAYS,), tells=(HEARS,))
SEEDS = [
    json.dumps({"version": 1, "says": [SAYS], "hears": [HEARS]}).encode(),
    json.dumps({"version": 1, "says": [["Cores", ["count", "\ud800"]]], "hears": []}).encode(),
    json.dumps({"version": 2, "says": [], "hears": []}).encode(),
]


def test_it_is_taken_or_refused() -> None:
    taken = refused = 0
    for data in inputs(SEEDS):
        try:
            known(POLICY, data)
            taken += 1
        except Unwelcome as no:
            assert refusal(no).startswith(b"-")
            refused += 1
    assert taken and refused
