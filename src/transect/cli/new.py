# SPDX-License-Identifier: Apache-2.0
"""`transect new`."""

from __future__ import annotations

import keyword
from pathlib import Path
from typing import Annotated

import typer

from transect.base.room import put
from transect.cli.exits import Exit
from transect.cli.failure import usage
from transect.cli.strata import Stratum

TEMPLATES = Path(__file__).parent / "templates"


def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The policy's file, for instance acl.py.")],
    stratum: Annotated[
        Stratum,
        typer.Option("--for", metavar="STRATUM", help="Where the policy will run: rpc, llm, cpu or memory."),
    ],
) -> int:
    """Write a policy and its pytest test, nothing else.

    The test stands beside it, as test_FILE. Files that exist are never overwritten.
    """
    if file.suffix != ".py" or not file.stem.isidentifier() or keyword.iskeyword(file.stem):
        return usage(f"`{file.name}` is no name of a Python module", "write it like rate_limit.py")
    test = file.with_name(f"test_{file.name}")
    for path in (file, test):
        if path.exists():
            return usage(f"{path} exists, and is not overwritten", "choose another name")
    file.parent.mkdir(parents=True, exist_ok=True)
    _write(file, _filled(f"{stratum}_policy", file))
    _write(test, _filled(f"{stratum}_test", file))
    print(f"wrote {file} and {test}; next:")
    print(f"  transect check {file}")
    print(f"  pytest {test}")
    return Exit.DONE


def _filled(template: str, file: Path) -> str:
    module = file.stem
    policy = "".join(word[:1].upper() + word[1:] for word in module.split("_"))
    packaged = "." if (file.parent / "__init__.py").exists() else ""
    _licence, text = (
        (TEMPLATES / f"{template}.py.txt").read_text(encoding="utf-8").split("\n", 1)
    )  # the licence is for the template, not for what the user makes of it
    return text.replace("new_policy", packaged + module).replace("NewPolicy", policy)


def _write(path: Path, text: str) -> None:
    put(path, text.encode(), fresh=True)
