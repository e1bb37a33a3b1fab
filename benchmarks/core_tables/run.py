# SPDX-License-Identifier: Apache-2.0
"""Emitted tables beside Abseil's flat_hash_map: 100 to 1,000,000 keys, which are texts of 20 bytes or pairs of numbers.

Control: std::map must miss the targets, with the emitted tables as the baseline.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from measuring import Control, Samples, begin, claim, interleaved, report, result
from needed import libraries, tool

from transect.core.frontend import compile_text
from transect.emit.c import emit

HERE = Path(__file__).parent
FLAGS = ["-O2", "-g0", f"-I{HERE}"]
SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)
KEYS = ("text", "flow")
CALLS = 1_000_000
ROUNDS = 15
CAPACITY = "CAPACITY: Final = 100\n"


def ours(folder: Path, size: int) -> Path:
    """The program that times the emitted tables of a size."""
    text = (HERE / "policy.py").read_text()
    assert CAPACITY in text, "the policy's sizes are one line"
    (program,) = compile_text(text.replace(CAPACITY, f"CAPACITY: Final = {size}\n")).programs
    made = folder / str(size)
    emit(program).write(made)
    subprocess.run(
        [tool("gcc"), "-std=gnu11", *FLAGS, f"-I{made}", str(HERE / "ours.c"), "-o", str(made / "ours")],
        check=True,
    )
    return made / "ours"


def theirs(folder: Path, name: str, *more: str) -> Path:
    """The program that times Abseil's table, or the control."""
    made = folder / name
    words = [*FLAGS, "-std=c++17", *more, str(HERE / "theirs.cc"), "-o", str(made)]
    subprocess.run([tool("g++"), *words, *libraries("absl_flat_hash_map")], check=True)
    return made


def asked(program: Path, keys: str, operation: str, size: int) -> tuple[float, str]:
    """Nanoseconds a call, or bytes an entry; and the sum over all answers."""
    command = [str(program), keys, operation, str(size), str(CALLS)]
    each, total = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(each), total


def timed(program: Path, operation: str, keys: str, size: int) -> Callable[[], dict[str, float]]:
    return lambda: {f"{operation} {keys} {size}": asked(program, keys, operation, size)[0]}


def worst(each: Samples, operation: str, into: Samples) -> None:
    """The samples of the size and keys at which the operation falls furthest behind."""
    keys = [key for key in each.values if key.startswith(operation)]
    key = max(keys, key=lambda k: sorted(each.values[k])[len(each.values[k]) // 2])
    for number, value in enumerate(each.values[key]):
        into.add(operation, value, each.aa[key][number])


def main() -> None:
    each, samples, controls = Samples(), Samples(), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mine = {size: ours(folder, size) for size in SIZES}
        peer, toy = theirs(folder, "theirs"), theirs(folder, "toy", "-DLOOSE")
        for size in SIZES:
            for keys in KEYS:
                for operation in ("lookup", "insert"):
                    sums = {asked(program, keys, operation, size)[1] for program in (mine[size], peer, toy)}
                    assert len(sums) == 1, f"{operation} {keys} {size}: the sides do not do the same: {sums}"
                    sides = (timed(p, operation, keys, size) for p in (mine[size], peer))
                    interleaved(*sides, ROUNDS, into=each)
        for operation in ("lookup", "insert"):
            worst(each, operation, samples)
        bytes_of = [
            asked(mine[size], keys, "memory", size)[0] / asked(peer, keys, "memory", size)[0]
            for size in SIZES
            for keys in KEYS
        ]
        samples.add("memory", max(bytes_of))
        for operation, size in (("lookup", 10_000), ("insert", 10_000)):
            sides = (timed(p, operation, "text", size) for p in (toy, mine[size]))
            slow = interleaved(*sides, 3, into=Samples())
            limit = claim(__file__).targets[operation].limit
            controls.append(Control(f"std::map, {operation}", min(map(min, slow.values.values())) > limit))
    medians = {key: round(sorted(values)[len(values) // 2], 3) for key, values in each.values.items()}
    report(result(claim(__file__), samples, controls, calls=CALLS, each=medians), __file__)


if __name__ == "__main__":
    begin(main)
