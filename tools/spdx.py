# SPDX-License-Identifier: Apache-2.0
"""Every file says its licence in its first lines; what is compiled into BPF or a kernel says that it is also MIT."""

from __future__ import annotations

import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parent.parent
APACHE, DUAL = "Apache-2.0", "Apache-2.0 OR MIT"

EMITTED = ("tests/golden/*/*",)  # the compiler claims no rights in what it emits

# Formats without comments, empty files, and files that programs wrote.  docs/licensing.md says what holds for them.
SILENT = (
    "LICENSE",
    "*/py.typed",
    "*.csv",
    "*.json",
    "*.jsonl",
    "*.lock",
    "*.svg",
    "*.png",
    "*.bin",
    *EMITTED,
)
KERNEL = ("*.bpf.c", "*.bpf.h", "*/bpf/*.c", "*/bpf/*.h", "*/kernel/*.c", "*/kernel/*.h")


def tracked() -> list[str]:
    asked = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate"]
    return subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


def like(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def complaint(name: str, head: str) -> str | None:
    """What is wrong with a file of that name which begins with `head`; None when all is well."""
    found = re.search(r"SPDX-License-Identifier: ([A-Za-z0-9. -]*[A-Za-z0-9.])", head)
    licence = found.group(1) if found else None
    if like(name, KERNEL) and not like(name, EMITTED):
        return None if licence == DUAL else f"goes into a kernel: say `SPDX-License-Identifier: {DUAL}`"
    if licence in (APACHE, DUAL) or like(name, SILENT):
        return None
    return f"says {licence}" if licence else f"has no line `SPDX-License-Identifier: {APACHE}` at its top"


def main() -> int:
    bad = 0
    for name in tracked():
        path = ROOT / name
        if not path.is_file() or path.is_symlink():
            continue
        head = path.read_bytes()[:2000].decode(errors="replace")
        if text := complaint(name, head):
            print(f"{name}: {text}")
            bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
