# SPDX-License-Identifier: Apache-2.0
"""`transect demo llm`."""

from __future__ import annotations

import time

from transect.demos.llm import run
from transect.demos.shown import Shown


def test_the_published_table_is_reproduced_in_seconds() -> None:
    said: list[str] = []
    began = time.process_time()
    assert run(said.append) == Shown(True)
    assert time.process_time() - began < 10
    text = "\n".join(said)
    assert "max  759.97  average  433.53" in text and "max  368.40  average  251.66" in text
    assert text.count("\n  rpm ") == 3
