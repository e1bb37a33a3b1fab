# SPDX-License-Identifier: Apache-2.0
"""`transect compile`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from transect.cli.exits import Exit
from transect.cli.failure import usage


def compile(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A policy's file.")],
    target: Annotated[str, typer.Option("--to", metavar="TARGET", help="What to compile to: py or c.")],
    folder: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where the files go; made if missing.")
    ],
) -> int:
    """Write what a policy is compiled to: plain files, which name the policy's lines.

    A target which cannot keep a policy's meaning refuses it and says where; it never approximates.
    """
    from transect.cli.compiling import Refused, emit, read
    from transect.emit.registry import targets

    if target not in targets():
        return usage(f"no target `{target}`", f"there are: {', '.join(targets())}")
    try:
        written = [path for _, artifact in emit(read(file), target) for path in artifact.write(folder)]
    except Refused as refused:
        print(refused)
        return Exit.NO
    for path in written:
        print(path)
    return Exit.DONE
