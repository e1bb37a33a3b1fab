# SPDX-License-Identifier: Apache-2.0
"""What the cpu benchmarks do in a machine: a load program is compiled outside and lies where any user may run it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from transect.cpu.machine import Bench


def compiled_load(bench: Bench, source: Path) -> str:
    """Compile it, with headers that lie in the job folder; its path in the machine."""
    target = bench.folder / source.stem
    include = ["-I", str(bench.folder), "-I", str(Path(__file__).parent)]
    command = ["gcc", "-O2", "-Wall", "-static", "-pthread", *include, str(source), "-o", str(target)]
    subprocess.run(command, check=True)
    bench.shell(f"mkdir -p -m 755 /run/load; cp {target} /run/load; chmod 755 /run/load/{source.stem}")
    return f"/run/load/{source.stem}"
