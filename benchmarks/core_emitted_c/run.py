# SPDX-License-Identifier: Apache-2.0
"""Emitted C beside the same policies written by hand, on the same table header and with the same flags.

Control: hand-written code without the hash table (acl) and without the heap (fair_share) must miss the target.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from measuring import Control, Samples, begin, claim, interleaved, report, result
from needed import tool

from transect.base.shipped import path_of
from transect.core.frontend import compile_file
from transect.emit.c import emit

HERE = Path(__file__).parent
FLAGS = ["-std=gnu11", "-O2", "-g0", "-ffp-contract=off"]
ROUNDS = 21
CALLS = {"acl": 1_500_000, "rate_limit": 1_000_000, "fair_share": 300_000}
BEST_OF = 5  # processes per sample: the memory layout of one may be bad, whatever the code


def build(folder: Path) -> Path:
    """The program that times one side of one policy."""
    for name in CALLS:
        (program,) = compile_file(path_of(name)).programs
        emit(program).write(folder)
    objects: list[str] = []
    for source in (str(HERE / f"{n}.c") for n in ("emitted", "hand", "bench")):  # each by itself
        objects.append(f"{Path(source).stem}.o")
        subprocess.run(
            [tool("gcc"), *FLAGS, f"-I{folder}", f"-I{HERE}", "-c", source, "-o", objects[-1]],
            cwd=folder,
            check=True,
        )
    subprocess.run([tool("gcc"), *objects, "-o", "bench"], cwd=folder, check=True)
    return folder / "bench"


def asked(program: Path, side: str, policy: str, calls: int) -> tuple[float, str]:
    """Nanoseconds a call, and the sum over all answers."""
    command = [str(program), side, policy, str(calls)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    time, total = done.stdout.split()
    return float(time), total


def timed(program: Path, side: str, policy: str) -> Callable[[], dict[str, float]]:
    return lambda: {policy: min(asked(program, side, policy, CALLS[policy])[0] for _ in range(BEST_OF))}


def main() -> None:
    the_claim, samples, each = claim(__file__), Samples(), {}
    controls = []
    with tempfile.TemporaryDirectory() as name:
        program = build(Path(name))
        for policy in CALLS:
            sums = {side: asked(program, side, policy, 50_000)[1] for side in ("emitted", "hand", "scan")}
            assert len(set(sums.values())) == 1, f"{policy}: the sides do not do the same: {sums}"
            interleaved(
                timed(program, "emitted", policy), timed(program, "hand", policy), ROUNDS, into=samples
            )
            for side in ("emitted", "hand"):
                each[f"{policy}_{side}_ns"] = asked(program, side, policy, CALLS[policy])[0]
        for policy, toy in (("acl", "a list instead of a table"), ("fair_share", "a scan instead of a heap")):
            slow = interleaved(
                timed(program, "scan", policy), timed(program, "hand", policy), 3, into=Samples()
            )
            controls.append(Control(toy, min(slow.values[policy]) > the_claim.targets[policy].limit))
    report(result(the_claim, samples, controls, flags=FLAGS, best_of=BEST_OF, **each), __file__)


if __name__ == "__main__":
    begin(main)
