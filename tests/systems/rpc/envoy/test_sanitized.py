# SPDX-License-Identifier: Apache-2.0
"""The module under sanitizers, in a host that plays Envoy (whose own allocator would hide mistakes)."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from transect.emit.c.toolchain import RUNTIME as C_RUNTIME
from transect.rpc.native.build import RPC_RUNTIME

pytestmark = pytest.mark.needs("gcc")

HERE = Path(__file__).parent
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wno-format-truncation"]


def compiled(sanitizers: str, folder: Path) -> Path:
    host = folder / "fake_envoy"
    sources = [HERE / "fake_envoy.c", HERE / "probe_chain.c", *sorted(RPC_RUNTIME.glob("envoy_*.c"))]
    flags = ["-std=gnu11", "-D_GNU_SOURCE", "-g", "-O1", "-pthread", *WARNINGS, f"-fsanitize={sanitizers}"]
    include = [f"-I{RPC_RUNTIME}", f"-I{C_RUNTIME}"]
    subprocess.run(["gcc", *flags, "-fno-sanitize-recover=all", *include, *sources, "-o", host], check=True)
    return host


def run(host: Path, seed: int, *keys: Path) -> None:
    ran = subprocess.run([host, str(seed), "3000", *keys], capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stderr) == (0, ""), seed


@pytest.mark.parametrize("sanitizers", ["address,undefined", "thread"])
def test_random_rpcs_under_sanitizers(sanitizers: str, tmp_path: Path, fuzz_seconds: float) -> None:
    host, seed, until = compiled(sanitizers, tmp_path), 0, time.monotonic() + fuzz_seconds
    keys = tmp_path / "identity.key"
    keys.touch(0o600)
    keys.write_text("00" * 32)
    while seed < 4 or time.monotonic() < until:
        run(host, seed, *([keys] if seed % 2 else []))
        seed += 1
