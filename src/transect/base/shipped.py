# SPDX-License-Identifier: Apache-2.0
"""The example policies shipped in `transect/examples`, as paths of files: nobody has to import them."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).parent.parent / "examples"


def path_of(name: str) -> Path:
    """The file of an example policy.  Raises `FileNotFoundError` if there is none."""
    for path in paths():
        if path.stem == name:
            return path
    raise FileNotFoundError(f"no example policy `{name}`")


def is_example(path: Path) -> bool:
    """Whether the file is an example policy."""
    return path.is_relative_to(_HERE)


def paths(stratum: str = "*") -> list[Path]:
    """All examples, or those of one stratum and the ones that run in all."""
    found = [*_HERE.glob(f"{stratum}/[a-z]*.py"), *_HERE.glob("[a-z]*.py")]
    return sorted(found, key=lambda path: path.stem)
