# SPDX-License-Identifier: Apache-2.0
"""The claims of a checkout: `benchmarks/FOLDER/expected.toml` states one, `run.py` beside it measures it.

`run.py` prints its result as a JSON object; its stderr passes through.  Exit code 3 means that it cannot run here: its
claim stays undecided.  Whatever ends the command also ends the benchmark that it started.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transect.base.bounded import first
from transect.base.unavailable import Unavailable
from transect.cli.exits import Exit

SAID = 16 << 20  # bytes that a benchmark may print: its result
GRACE_S = 30.0  # for a benchmark that is interrupted

Result = dict[str, Any]  # as `run.py` prints it: id, value, target, holds, why, …


def folder() -> Path:
    """The benchmarks of the checkout that this package, or the working directory, belongs to."""
    for root in (Path(__file__).parents[3], Path.cwd(), *Path.cwd().parents):
        if (root / "benchmarks").is_dir() and (root / "src" / "transect").is_dir():
            return root / "benchmarks"
    raise Unavailable(
        "benchmarks", "they are not part of the installed package", "run this in a checkout: make bench"
    )


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim and where it is measured."""

    id: str
    folder: Path
    at_most: Mapping[str, bool]  # by key: whether the target is an upper limit


def known(benchmarks: Path) -> dict[str, Claim]:
    """All claims, by id."""
    found = [_claim(path.parent) for path in sorted(benchmarks.glob("*/run.py"))]
    return {claim.id: claim for claim in found}


def _claim(folder: Path) -> Claim:
    stated = tomllib.loads((folder / "expected.toml").read_text(encoding="utf-8"))
    targets = stated.get("target", {})
    return Claim(stated["id"], folder, {key: target.get("at_most", True) for key, target in targets.items()})


def measure(claim: Claim) -> Result:
    """Run one benchmark."""
    script = claim.folder / "run.py"
    code, data = _ran([sys.executable, str(script)])
    if len(data) > SAID:
        return _undecided(claim, f"{script} prints more than {SAID:,} bytes")
    if code == Exit.UNAVAILABLE:
        return _undecided(claim, "something is missing here; see above")
    try:
        result = json.loads(data)
    except (ValueError, RecursionError):
        result = None
    if not isinstance(result, dict) or "holds" not in result:
        return _undecided(claim, f"{script} ended with {code} and gave no result")
    return result


def _ran(command: Sequence[str]) -> tuple[int, bytes]:
    """A program's exit code, and what it printed: one byte more than `SAID` at most.

    Ctrl-C and SIGTERM interrupt the program once; then it has time to end its servers and machines.  It runs in a
    process group of its own, so that a terminal does not interrupt it a second time; whatever is left of the group in
    the end is killed.
    """
    with (
        _interruptible(),
        subprocess.Popen(command, stdout=subprocess.PIPE, process_group=0) as program,
    ):
        try:
            assert program.stdout is not None
            data = first(program.stdout, SAID)
            if len(data) <= SAID:
                program.wait()
        except KeyboardInterrupt:
            program.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.wait(GRACE_S)
            raise
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
    return program.returncode, data


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Within the block, both signals act as Ctrl-C, even if a script put us in the background with one ignored."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _undecided(claim: Claim, why: str) -> Result:
    return {"id": claim.id, "value": {}, "target": {}, "holds": None, "why": why}


def verdict(results: Iterable[Result]) -> int:
    """1 if a claim does not hold, else 4 if one is undecided, else 0."""
    held = [result["holds"] for result in results]
    if False in held:
        return Exit.NO
    return Exit.UNKNOWN if None in held else Exit.DONE


WORD = {True: "holds", False: "FAILS", None: "undecided"}


def lines(claim: Claim, result: Result) -> Iterator[str]:
    """A result for people: the claim, then a line for each number."""
    why = f": {result['why']}" if result.get("why") else ""
    yield f"{WORD[result['holds']]:10}{result['id']}{why}"
    for key, value in result["value"].items():
        target = result["target"].get(key)
        sign = "≤" if claim.at_most.get(key, True) else "≥"
        wanted = "" if target is None else f"   wanted {sign} {_number(target)}"
        yield f"          {key:24}{_number(value):>10}{wanted}"


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)
