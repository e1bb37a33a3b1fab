# SPDX-License-Identifier: Apache-2.0
"""The files that emitting C gives: what they say, that compilers take them without a warning, what they link to."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.core.sink import EXAMPLES, sink
from tests.unit.emit.c.machine import STRICT, compile_c
from transect.core.frontend import compile_file, compile_text
from transect.core.ir import Program
from transect.emit.c import emit, emitter, lower
from transect.emit.c.driver import MAIN, driver

COMPILERS = [name for name in ("gcc", "clang-19", "clang") if shutil.which(name)][:2]
LIBC = {
    "memcpy",
    "memmove",
    "memset",
    "memcmp",
    "malloc",
    "calloc",
    "free",
    "getrandom",
}  # the last: for seeds


def example(path: Path) -> Program:
    """The policy of an example file, named without its folder where it stands alone."""
    text = path.read_text()
    compiled = compile_file(path) if "\nfrom ." in text else compile_text(text, path.name)
    assert compiled.programs, [f"{d.code} {d.message}" for d in compiled.diagnostics]
    return compiled.programs[0]


@pytest.mark.parametrize("name", ["acl", "rate_limit", "fair_share", "breaker"])
def test_files_are_as_they_were(name: str, golden: Callable[[str, str], None]) -> None:
    path = next(p for p in EXAMPLES if p.stem == name)
    artifact = emit(example(path))
    for file in (f"{name}.h", f"{name}.c"):
        golden(f"c/{file}", artifact.files[file].decode())


@pytest.mark.needs("gcc", "nm")
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_compilers_have_nothing_to_say_and_little_to_link(path: Path, tmp_path: Path) -> None:
    """gcc warns of what its optimiser sees, clang while it reads."""
    artifact = emitter.emit(example(path))
    artifact.write(tmp_path)
    (source,) = [name for name in artifact.files if name.endswith(".c")]
    compile_c(tmp_path, "-c", source, "-o", "x.o", flags=(*STRICT, "-O2"))
    for compiler in COMPILERS[1:]:
        compile_c(tmp_path, "-fsyntax-only", source, flags=STRICT, compiler=compiler)
    listed = subprocess.run(["nm", "-u", "x.o"], cwd=tmp_path, capture_output=True, text=True).stdout
    assert {line.split()[-1] for line in listed.splitlines()} <= LIBC


@pytest.mark.parametrize("compiler", COMPILERS)
def test_every_node_of_the_tree_has_c(compiler: str, tmp_path: Path) -> None:
    emit(sink()).write(tmp_path)
    compile_c(tmp_path, "-c", "sink.c", flags=(*STRICT, "-O2"), compiler=compiler)


def test_a_header_serves_cpp(tmp_path: Path) -> None:
    """The Envoy module's neighbours are C++: identifiers avoid its keywords."""
    text = """
from transect.lang import struct
from transect.shapes import Arbiter, Client


@struct
class Bucket:
    new: int = 0
    template: int = 0


class P(Arbiter):
    delete: Bucket = Bucket()
    int: int = 0
    self_: int = 0
    overflow: int = 0

    def pick(self) -> Client:
        class_ = min(self.waiting, key=lambda c: self.delete.new)
        return class_

    def charge(self, client: Client, cost: int) -> None:
        call, local, NULL, memcpy, ts_add = cost, cost, cost, cost, cost
        self.overflow = call + local + NULL + memcpy + ts_add
"""
    text = text.replace("    int: int = 0\n", "").replace("    self_: int = 0\n", "")
    compiled = compile_text(text)
    assert compiled.programs, [f"{d.code} {d.message}" for d in compiled.diagnostics]
    emit(compiled.programs[0]).write(tmp_path)
    compile_c(tmp_path, "-c", "p.c", flags=(*STRICT, "-O1"))
    header = (tmp_path / "p.h").read_text()
    assert "int64_t new_;" in header and "int64_t template_;" in header and "delete_;" in header


ALLOCATORS = (
    "-DTS_FREESTANDING",
    "-DTS_ALLOCATE(size)=host_take(size)",
    "-DTS_ALLOCATE_ZEROED(size)=host_take(size)",
    "-DTS_RELEASE(memory)=host_give(memory)",
    "-include",
    "host.h",
)
TARGETS: list[tuple[str, tuple[str, ...]]] = [("gcc", ("-ffreestanding",))]
TARGETS += [
    (name, ("--target=wasm32", "-ffreestanding", "-nostdlib"))
    for name in COMPILERS
    if name.startswith("clang")
]


@pytest.mark.needs("gcc", "nm")
@pytest.mark.parametrize(("compiler", "target"), TARGETS, ids=lambda x: x if isinstance(x, str) else None)
def test_emitted_code_needs_no_libc_at_all(compiler: str, target: tuple[str, ...], tmp_path: Path) -> None:
    """As a module for wasm32 is built."""
    (tmp_path / "host.h").write_text(
        "#include <stddef.h>\nvoid *host_take(size_t size);\nvoid host_give(void *memory);\n"
    )
    for path in EXAMPLES:
        program = example(path)
        emit(program).write(tmp_path)
        source = f"{lower(program).unit.prefix}.c"
        flags = (*STRICT, *target, *ALLOCATORS)
        compile_c(tmp_path, "-fsyntax-only", source, flags=flags, compiler=compiler)


def test_errors_and_debuggers_see_the_policys_lines(tmp_path: Path) -> None:
    path = next(p for p in EXAMPLES if p.stem == "acl")
    lines = path.read_text().splitlines()
    artifact = emit(example(path))
    emitted = artifact.files["acl.c"].decode().splitlines()
    marked = [line for line in emitted if line.startswith("#line") and '"acl.py"' in line]
    for mark in marked:
        number = int(mark.split()[1])
        assert lines[number - 1].strip(), mark
    decision = next(i for i, line in enumerate(lines, 1) if "return Reject" in line)
    assert f'#line {decision} "acl.py"' in marked


def test_marks_name_the_emitted_files_own_lines() -> None:
    path = next(p for p in EXAMPLES if p.stem == "acl")
    emitted = emit(example(path)).files["acl.c"].decode().splitlines()
    own = [(i, line) for i, line in enumerate(emitted) if line.startswith("#line") and '"acl.c"' in line]
    assert own
    for index, line in own:
        assert int(line.split()[1]) == index + 2


def test_many_programs_share_one_file(tmp_path: Path) -> None:
    programs = [example(path) for path in EXAMPLES]
    driver([*programs, *programs]).write(tmp_path)
    compile_c(tmp_path, MAIN, "-o", "driver", flags=(*STRICT, "-O0"))


def test_there_is_room_at_once_for_as_many_as_the_tables_say() -> None:
    path = next(p for p in EXAMPLES if p.stem == "fair_share")
    assert lower(example(path)).unit.clients == 4096
    assert lower(example(path), clients=70_000).unit.clients == 70_000
    assert lower(example(path), prefix="other").prototypes["pick"].name == "other_pick"
