# SPDX-License-Identifier: Apache-2.0
"""Runs every check of `make lint`, two at a time, and says how long each took; all run, even if one fails.

`make lint ARGS="mypy spdx"` runs some of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
BIN = Path(sys.executable).parent

CHECKS = {  # the slow ones first
    "pyright": "pyright",
    "mypy": "mypy --no-error-summary",
    "sphinx": "sphinx-build -q -W --keep-going -d .venv/docs/doctrees docs .venv/docs/html",
    "import-linter": "lint-imports --no-logo --cache-dir .venv/import-linter",
    "ruff check": "ruff check --quiet --output-format concise",
    "ruff format": "ruff format --check --quiet --diff",
    "spdx": "python tools/spdx.py",
}


def run(name: str) -> bool:
    started = time.monotonic()
    program, *arguments = CHECKS[name].split()
    done = subprocess.run(
        [BIN / program, *arguments],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    seconds = time.monotonic() - started
    good = done.returncode == 0
    verdict = f"{'ok' if good else 'FAILED':7}{seconds:6.1f} s  {name}"
    print(verdict if good else f"{verdict}\n{done.stdout.rstrip()}\n", flush=True)
    return good


def main(names: list[str]) -> int:
    known = list(CHECKS)
    chosen = [check for check in known if not names or set(check.split()) & set(names)]
    if not chosen:
        print(f"no such check; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    started = time.monotonic()
    with ThreadPoolExecutor(max_workers=2) as pool:
        good = list(pool.map(run, chosen))
    print(f"{'ok' if all(good) else 'FAILED':7}{time.monotonic() - started:6.1f} s  lint")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
