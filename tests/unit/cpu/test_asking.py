# SPDX-License-Identifier: Apache-2.0
"""What is asked of the loader in a machine at the same time by several threads."""

from __future__ import annotations

import json
import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

from transect.cpu.machine import Bench


class Loader:
    """Answers with the name of what was asked, a while later."""

    ended = False

    def __init__(self, answers: queue.Queue[bytes | None]) -> None:
        self._answers = answers

    def write(self, line: bytes) -> None:
        answer = json.dumps({"kind": "done", "value": json.loads(line)["do"]}).encode()
        threading.Timer(0.02, self._answers.put, [answer]).start()


def test_who_asks_gets_the_answer_to_that(tmp_path: object) -> None:
    """The look for the scheduler's end, in the foreground, beside what an operator asks for."""
    bench = object.__new__(Bench)
    bench._asking = threading.Lock()
    bench._answers = queue.Queue()
    bench._guest = Loader(bench._answers)
    bench._say = print
    bench.vm = SimpleNamespace(console=tmp_path)  # type: ignore[assignment]
    asked = ["check", "status", "set", "record"] * 5
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(bench.ask, asked)) == asked
