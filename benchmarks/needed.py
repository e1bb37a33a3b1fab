# SPDX-License-Identifier: Apache-2.0
"""Programs that benchmarks run, and the Debian package of each: what a machine lacks is said before it is needed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from transect.base.unavailable import Unavailable

PACKAGES = {
    "g++": "g++",
    "gcc": "gcc",
    "grpc_cpp_plugin": "protobuf-compiler-grpc",
    "hackbench": "rt-tests",
    "memcached": "memcached",
    "pkg-config": "pkg-config",
    "protoc": "protobuf-compiler",
    "setpriv": "util-linux",
    "sqlite3": "sqlite3",
    "taskset": "util-linux",
    "zstd": "zstd",
}
LIBRARIES = {  # by the name that pkg-config has
    "absl_flat_hash_map": "libabsl-dev",
    "grpc++": "libgrpc++-dev",
    "protobuf": "libprotobuf-dev",
}


def tool(name: str) -> str:
    """The program's path.  Raises `Unavailable`."""
    found = shutil.which(name)
    if found is None:
        raise Unavailable(name, "not on PATH", f"apt-get install {PACKAGES[name]}")
    return found


def tools(*names: str) -> None:
    """Raises `Unavailable` for the first that is not there."""
    for name in names:
        tool(name)


def static(source: Path, target: Path, *flags: str) -> Path:
    """A C program that runs in any machine.  Raises `Unavailable` without a compiler."""
    words = [tool("gcc"), "-O2", "-Wall", "-static", *flags, str(source), "-o", str(target)]
    subprocess.run(words, check=True)
    return target


def libraries(*names: str) -> Sequence[str]:
    """The flags of C++ libraries.  Raises `Unavailable`."""
    for name in names:
        asked = subprocess.run([tool("pkg-config"), "--exists", name])
        if asked.returncode:
            raise Unavailable(name, "pkg-config does not know it", f"apt-get install {LIBRARIES[name]}")
    words = [tool("pkg-config"), "--cflags", "--libs", *names]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
