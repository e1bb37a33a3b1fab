# SPDX-License-Identifier: Apache-2.0
"""Seconds of a cold `transect check` of a 50-line policy: the whole process, and the compiler's part of it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from measuring import Control, Samples, begin, claim, installed, report, result

ROUNDS = 25
SMALL = Path(__file__).parents[2] / "src" / "transect" / "examples" / "rpc" / "breaker.py"

TIMED = """
import time
start = time.perf_counter()
from transect.core.frontend import compile_file
import sys
compiled = compile_file(sys.argv[1])
assert compiled.programs and not len(compiled.diagnostics)
print(time.perf_counter() - start)
"""


def seconds(env: dict[str, str], *command: str) -> float:
    start = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=env)
    assert done.stdout, "it says what it checked"
    return time.perf_counter() - start


def large(folder: Path) -> Path:
    """The control: 200 such policies in one file must take longer than is allowed."""
    text = SMALL.read_text()
    head, body = text.split("class Breaker", 1)
    path = folder / "large.py"
    path.write_text(head + "\n\n".join(f"class Breaker{i}{body}" for i in range(200)))
    return path


def main() -> None:
    the_claim = claim(__file__)
    transect = str(Path(sys.executable).parent / "transect")
    samples, env = Samples(), installed()
    for _ in range(ROUNDS):
        samples.add("total_s", seconds(env, transect, "check", str(SMALL)))
        out = subprocess.run(
            [sys.executable, "-c", TIMED, str(SMALL)], stdout=subprocess.PIPE, check=True, env=env
        )
        samples.add("compiler_s", float(out.stdout))
    with tempfile.TemporaryDirectory() as folder:
        slow = seconds(env, transect, "check", str(large(Path(folder))))
    controls = [Control("a file of 10,000 lines", slow > the_claim.targets["total_s"].limit)]
    lines = len(SMALL.read_text().splitlines())
    report(result(the_claim, samples, controls, policy_lines=lines), __file__)


if __name__ == "__main__":
    begin(main)
