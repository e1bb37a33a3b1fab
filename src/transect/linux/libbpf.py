# SPDX-License-Identifier: Apache-2.0
"""libbpf through ctypes: open an object, load it, reach its maps and programs, attach.  Only what is needed here.

libbpf says on its log what the verifier refused; `Log` keeps that, and nothing else is printed.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from ctypes import c_char_p, c_int, c_size_t, c_uint32, c_void_p
from functools import cache
from pathlib import Path

from transect.base.unavailable import Unavailable

PRINT = ctypes.CFUNCTYPE(c_int, c_int, c_char_p, c_void_p)


class BpfError(Exception):
    """libbpf or the kernel refused; `log` is what libbpf wrote meanwhile, with the verifier's reasons."""

    def __init__(self, what: str, number: int, log: str) -> None:
        super().__init__(f"{what}: {os.strerror(abs(number))}")
        self.number = abs(number)
        self.log = log


@cache
def _library() -> ctypes.CDLL:
    try:
        lib = ctypes.CDLL("libbpf.so.1", use_errno=True)
    except OSError:
        raise Unavailable("libbpf", "libbpf.so.1 is not installed", "apt-get install libbpf1") from None
    pointers = (
        "bpf_object__open_file", "bpf_object__find_map_by_name", "bpf_object__find_program_by_name",
        "bpf_object__next_program", "bpf_object__next_map", "bpf_map__attach_struct_ops",
    )  # fmt: skip
    for name in pointers:
        getattr(lib, name).restype = c_void_p
    for name in ("bpf_map__name", "bpf_program__name"):
        getattr(lib, name).restype = c_char_p
    lib.bpf_map__value_size.restype = lib.bpf_map__key_size.restype = c_uint32
    return lib


XDP_GENERIC = 2  # on interfaces of any kind
BPF_XDP = 37  # enum bpf_attach_type
VERIFIED = 216  # where `verified_insns` lies in struct bpf_prog_info


class TestRun(ctypes.Structure):
    """struct bpf_test_run_opts."""

    _fields_ = (
        ("size", c_size_t), ("data_in", c_void_p), ("data_out", c_void_p), ("data_size_in", c_uint32),
        ("data_size_out", c_uint32), ("ctx_in", c_void_p), ("ctx_out", c_void_p), ("ctx_size_in", c_uint32),
        ("ctx_size_out", c_uint32), ("result", c_uint32), ("repeat", c_int), ("duration", c_uint32),
        ("flags", c_uint32), ("cpu", c_uint32), ("batch_size", c_uint32),
    )  # fmt: skip


class LinkOptions(ctypes.Structure):
    """The beginning of struct bpf_link_create_opts."""

    _fields_ = (("size", c_size_t), ("flags", c_uint32), ("padding", c_uint32))


class Log:
    """Collects what libbpf writes while it is installed."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        libc = ctypes.CDLL(None)

        def take(level: int, form: bytes, arguments: int) -> int:
            if level > 1:  # its debug messages
                return 0
            buffer = ctypes.create_string_buffer(1 << 20)
            libc.vsnprintf(buffer, c_size_t(len(buffer)), form, c_void_p(arguments))
            self.lines.append(buffer.value.decode(errors="replace"))
            return 0

        self._callback = PRINT(take)

    def __enter__(self) -> Log:
        _library().libbpf_set_print(self._callback)
        return self

    def __exit__(self, *_: object) -> None:
        _library().libbpf_set_print(PRINT(0))

    @property
    def text(self) -> str:
        return "".join(self.lines)


class Map:
    """A map of a loaded object."""

    def __init__(self, pointer: int) -> None:
        self.pointer = c_void_p(pointer)
        lib = _library()
        self.name: str = lib.bpf_map__name(self.pointer).decode()
        self.value_size: int = lib.bpf_map__value_size(self.pointer)
        self.key_size: int = lib.bpf_map__key_size(self.pointer)

    @property
    def fd(self) -> int:
        return int(_library().bpf_map__fd(self.pointer))

    def read(self, key: bytes) -> bytes | None:
        """The value under the key; None: there is none."""
        value = ctypes.create_string_buffer(self.value_size)
        return None if _library().bpf_map_lookup_elem(self.fd, key, value) else value.raw

    def write(self, key: bytes, value: bytes) -> None:
        if failed := _library().bpf_map_update_elem(self.fd, key, value, ctypes.c_uint64(0)):
            raise BpfError(f"map {self.name}", failed, "")

    def entries(self) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values, in no order; entries that are added or removed meanwhile may be among them or not."""
        lib, at, key = _library(), None, ctypes.create_string_buffer(self.key_size)
        while not lib.bpf_map_get_next_key(self.fd, at, key):
            at = key.raw
            if (value := self.read(at)) is not None:
                yield at, value

    def remove(self, key: bytes) -> None:
        """Take the entry out; an absent one changes nothing."""
        _library().bpf_map_delete_elem(self.fd, key)


def make_map(kind: int, name: str, entries: int) -> int:
    """Make a ring of the given `enum bpf_map_type`, which has no keys or values.  Returns its descriptor."""
    made = int(_library().bpf_map_create(kind, name.encode(), 0, 0, entries, None))
    if made < 0:
        raise BpfError(f"map {name}", made, "")
    return made


class Object:
    """A BPF object file; closing it takes its programs out of the kernel, and a scheduler out of force."""

    def __init__(self, path: Path) -> None:
        self.log = Log()
        with self.log:
            opened = _library().bpf_object__open_file(str(path).encode(), None)
        if not opened:
            raise BpfError(str(path), ctypes.get_errno() or errno.EINVAL, self.log.text)
        self._pointer = c_void_p(opened)
        self._links: list[c_void_p] = []
        self._attached: list[int] = []

    def load(self) -> None:
        """Load it into the kernel.  Raises `BpfError` with the verifier's log."""
        with self.log:
            failed = _library().bpf_object__load(self._pointer)
        if failed:
            raise BpfError("the kernel's verifier refused the program", failed, self.log.text)

    def has_map(self, name: str) -> bool:
        return bool(_library().bpf_object__find_map_by_name(self._pointer, name.encode()))

    def map(self, name: str) -> Map:
        found = _library().bpf_object__find_map_by_name(self._pointer, name.encode())
        assert found, f"no map {name} in the object"
        return Map(found)

    def programs(self) -> Iterator[tuple[str, int]]:
        """Name and descriptor of each program that is loaded."""
        lib, at = _library(), None
        while at := lib.bpf_object__next_program(self._pointer, c_void_p(at)):
            yield lib.bpf_program__name(c_void_p(at)).decode(), int(lib.bpf_program__fd(c_void_p(at)))

    def instructions(self, program: int) -> int:
        """The number of instructions that the verifier processed for a program, over all paths."""
        info = ctypes.create_string_buffer(256)
        size = c_uint32(len(info))
        if failed := _library().bpf_prog_get_info_by_fd(program, info, ctypes.byref(size)):
            raise BpfError("a program cannot be asked about", failed, self.log.text)
        return int.from_bytes(info.raw[VERIFIED : VERIFIED + 4], "little")

    def run(self, program: int, context: bytes = b"") -> int:
        """Run a program of type `syscall` once; its result, signed."""
        options = TestRun(size=ctypes.sizeof(TestRun))
        if context:
            given = ctypes.create_string_buffer(context, len(context))
            options.ctx_in = ctypes.addressof(given)
            options.ctx_size_in = len(context)
        if failed := _library().bpf_prog_test_run_opts(program, ctypes.byref(options)):
            raise BpfError("a program of the policy cannot be run", failed, self.log.text)
        return ctypes.c_int32(options.result).value

    def packet(self, program: int, data: bytes) -> tuple[int, bytes]:
        """What a program for packets decides about one, and the packet afterwards."""
        given, room = ctypes.create_string_buffer(data, len(data)), ctypes.create_string_buffer(65536)
        options = TestRun(size=ctypes.sizeof(TestRun))
        options.data_in, options.data_size_in = ctypes.addressof(given), len(data)
        options.data_out, options.data_size_out = ctypes.addressof(room), len(room)
        if failed := _library().bpf_prog_test_run_opts(program, ctypes.byref(options)):
            raise BpfError("the program cannot be run on a packet", failed, self.log.text)
        return options.result, room.raw[: options.data_size_out]

    def share(self, name: str, fd: int) -> None:
        """Before loading: use an existing map for this one."""
        if failed := _library().bpf_map__reuse_fd(self.map(name).pointer, fd):
            raise BpfError(f"map {name}", failed, self.log.text)

    def leave_out(self, name: str) -> None:
        """Before loading: do not create the map."""
        if failed := _library().bpf_map__set_autocreate(self.map(name).pointer, False):
            raise BpfError(f"map {name}", failed, self.log.text)

    def resize(self, name: str, entries: int) -> None:
        """Before loading: set the number of the map's entries."""
        if failed := _library().bpf_map__set_max_entries(self.map(name).pointer, c_uint32(entries)):
            raise BpfError(f"map {name}", failed, self.log.text)

    def attach(self, name: str) -> None:
        """Put a scheduler in force."""
        with self.log:
            link = _library().bpf_map__attach_struct_ops(self.map(name).pointer)
        if not link:
            raise BpfError("the kernel refused to attach the scheduler", ctypes.get_errno(), self.log.text)
        self._links.append(c_void_p(link))

    def attach_xdp(self, name: str, interface: int) -> None:
        """Let a program see every packet that arrives at an interface (its number), in the kernel's generic mode.

        It is detached when this process ends.  Raises `BpfError`, with EBUSY if another program is attached already.
        """
        (program,) = [fd for found, fd in self.programs() if found == name]
        options = LinkOptions(ctypes.sizeof(LinkOptions), XDP_GENERIC)
        link = int(_library().bpf_link_create(program, interface, BPF_XDP, ctypes.byref(options)))
        if link < 0:
            raise BpfError("the kernel refused to attach the program to the interface", link, self.log.text)
        self._attached.append(link)

    def detach(self) -> None:
        """Take it out of force; tasks go back to the default scheduler."""
        for link in self._links:
            _library().bpf_link__destroy(link)
        self._links.clear()
        for attached in self._attached:
            os.close(attached)
        self._attached.clear()

    def close(self) -> None:
        self.detach()
        _library().bpf_object__close(self._pointer)
