# SPDX-License-Identifier: Apache-2.0
"""`transect compile`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from transect.cli.exits import Exit
from transect.cli.failure import tell, usage


def compile(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="A policy's file.")
    ],
    target: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="TARGET",
            help="What to compile to: py, c or wasm; for schedulers also bpf, hints-c, hints-py; for probes also p4.",
        ),
    ],
    folder: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Where the files go; made if missing.", show_default=False
        ),
    ] = None,
    print_after: Annotated[
        list[str] | None,
        typer.Option(
            "--print-after", metavar="PASS", help="Show the tree after this pass.", show_default=False
        ),
    ] = None,
    stop_after: Annotated[
        str,
        typer.Option(
            "--stop-after", metavar="PASS", help="Show the tree after this pass, and write nothing."
        ),
    ] = "",
) -> int:
    """Compile a policy to plain files, which name the policy's lines.

    A target which cannot keep a policy's meaning refuses it and says where; it never approximates. With --to wasm, a
    chain file becomes a plugin for proxy-wasm hosts; with --to p4, a memory probe becomes the program of a switch.
    """
    from transect.cli.compiling import Refused
    from transect.cli.targets import TARGETS

    if target not in TARGETS:
        return usage(f"no target `{target}`", f"there are: {', '.join(TARGETS)}")
    try:
        return _compile(file, target, folder, print_after or [], stop_after)
    except Refused as refused:
        print(refused)
        return Exit.NO


def _compile(file: Path, target: str, folder: Path | None, print_after: list[str], stop_after: str) -> int:
    from transect.cli.compiling import after, build, emit, is_chain, passes, read

    steps = passes(target)
    known = [step.__name__ for step in steps]
    unknown = [name for name in (*print_after, stop_after) if name and name not in known]
    if unknown:
        listed = ", ".join(known) or "none"
        return usage(f"the target {target} has no pass `{unknown[0]}`", f"its passes: {listed}")
    if folder is None and not stop_after:
        return usage("where shall the files go?", "give a folder: -o DIR")
    if target == "wasm" and folder is not None and not stop_after and is_chain(file):
        return _plugin(file, folder)
    policies = read(file)
    for program in policies.programs:
        print("".join(after(program, steps, print_after, stop_after)), end="")
    if folder is None or stop_after:
        return Exit.DONE
    for program, artifact in emit(policies, target):
        for path in (*artifact.write(folder), *build(program, target, folder)):
            print(path)
    return Exit.DONE


def _plugin(chain: Path, folder: Path) -> int:
    from transect.emit.toolchain import BuildError
    from transect.rpc.run import Invalid
    from transect.rpc.wasm.files import write_plugin

    try:
        written = write_plugin(chain, folder)
    except Invalid as wrong:
        print(wrong)
        return Exit.NO
    except BuildError as wrong:
        tell(wrong)
        return Exit.UNAVAILABLE
    print(*written.paths, sep="\n")
    if written.one_worker:
        names = ", ".join(written.one_worker)
        print(
            f"transect: run it with one worker; more would divide {names} (transect explain R023)",
            file=sys.stderr,
        )
    return Exit.DONE
