# SPDX-License-Identifier: Apache-2.0
"""Processor time of reading and verifying the library's policies as text, beside compiling them from source.

Both sides are warm: the interfaces of the strata have been read.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from measuring import Control, Numbers, begin, claim, interleaved, report, result

from transect.base.shipped import paths
from transect.core.foreign import admitted
from transect.core.frontend import compile_file
from transect.core.text import TextError, dump, parse

ROUNDS = 31
SOURCES = list(paths())
TEXTS = [dump(program) for path in SOURCES for program in compile_file(path).programs]
KNOWN = "intrinsic %rpc.Headers.get("
FORGED = "intrinsic %builtins.eval(code: str) -> int 'pure'\n"


def timed(work: Callable[[], object]) -> Callable[[], Numbers]:
    def run() -> Numbers:
        start = time.process_time()
        work()
        return {"ratio": time.process_time() - start}

    return run


def verify() -> None:
    for text in TEXTS:
        admitted(text)


def compile_all() -> None:
    for path in SOURCES:
        assert compile_file(path).programs


def unverified_takes_a_forged_function() -> bool:
    """The toy: reading alone is faster still, and takes what must be refused."""
    forged = next(text for text in TEXTS if KNOWN in text).replace(KNOWN, FORGED + KNOWN)
    parse(forged)
    try:
        admitted(forged)
    except TextError:
        return True
    return False


def main() -> None:
    samples = interleaved(timed(verify), timed(compile_all), ROUNDS)
    controls = [Control("a text that is read and not verified", unverified_takes_a_forged_function())]
    report(result(claim(__file__), samples, controls, programs=len(TEXTS)), __file__)


if __name__ == "__main__":
    begin(main)
