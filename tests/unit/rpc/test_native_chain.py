# SPDX-License-Identifier: Apache-2.0
"""The native chain under the sanitizers, and its fixed C under every warning."""

from __future__ import annotations

import ctypes as ct
import json
import mmap
import random
import subprocess
from pathlib import Path

import pytest

from tests.fuzz.test_chain import bound, user
from tests.systems.rpc.attacks import attacks
from tests.unit.rpc.native_driver import NativeChain, Slice, build
from tests.unit.rpc.wire_samples import Maker, service
from transect.base.diagnostic import Diagnostics
from transect.core.frontend import compile_text
from transect.core.schema import schema
from transect.emit.c.toolchain import RUNTIME as C_RUNTIME
from transect.lang.tape import GivenTape
from transect.rpc.chain.binding import bind
from transect.rpc.chain.python import Action
from transect.rpc.chain.views import PlainHeaders
from transect.rpc.native.build import RPC_RUNTIME
from transect.rpc.native.chain import emit_chain

pytestmark = [pytest.mark.needs("grpcio"), pytest.mark.needs("gcc")]

ALL = ("Acl", "Limit", "Mutate", "Tags", "Prices", "Cache", "Log", "Remember")


@pytest.mark.parametrize("sanitizer", ["thread", "address,undefined"])
def test_threads_share_a_chain_without_a_race_or_a_leak(sanitizer: str, tmp_path: Path) -> None:
    emit_chain(bound(ALL, ("Say",))).write(tmp_path)
    rng, maker = random.Random(1), Maker(1, service("sample.Sample").messages)
    some = [user(rng) for _ in range(100)] + [maker.broken("sample.Ask") for _ in range(100)]
    some += [m for _, m in attacks.messages() if len(m) < 1 << 14]
    (tmp_path / "messages").write_bytes(b"".join(len(m).to_bytes(4, "little") + m for m in some))
    flags = ["-std=gnu11", "-O0", "-g", f"-fsanitize={sanitizer}", f"-I{tmp_path}", "-pthread"]
    sources = [str(tmp_path / "chain.c"), str(Path(__file__).with_name("threads.c"))]
    subprocess.run(["gcc", *flags, *sources, "-o", tmp_path / "threads"], check=True)
    done = subprocess.run(
        [tmp_path / "threads", tmp_path / "messages"], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 4 * 4000, "each RPC calls some hook"


@pytest.mark.parametrize("header", ["scan.h", "map.h", "rewrite.h", "passing.h", "redact.h", "elements.h"])
def test_the_fixed_code_compiles_without_a_warning(header: str, tmp_path: Path) -> None:
    (tmp_path / "unit.c").write_text(f'#include "{header}"\nint nothing;\n')
    flags = [
        "-std=c11",
        "-O2",
        "-Wall",
        "-Wextra",
        "-Wpedantic",
        "-Wconversion",
        "-Wshadow",
        "-Werror",
        "-Wno-unused-function",
    ]
    include = [f"-I{RPC_RUNTIME}", f"-I{C_RUNTIME}"]
    subprocess.run(["gcc", *flags, *include, "-c", "unit.c"], cwd=tmp_path, check=True)


def test_the_description_says_what_runs(tmp_path: Path) -> None:
    binding = bound(("Acl", "Log"), ("Say",))
    chain = NativeChain(build(binding, tmp_path))
    found = json.loads(chain.description)
    assert found["service"] == "sample.Sample"
    assert [(e["name"], e["hash"]) for e in found["elements"]] == [
        (e.name, e.program.source_hash) for e in binding.elements
    ]
    assert found["elements"][0]["schema"] == schema(binding.elements[0].program).hash
    assert found["elements"][0]["fields"] == [{"name": "allowed", "type": "Map[str, bool]", "kind": "state"}]
    assert found["methods"] == [
        {"path": "/sample.Sample/Say", "client_streams": False, "server_streams": False}
    ]
    assert found["needs"] == {
        "request": True,
        "reply": True,
        "headers": True,
        "trailers": True,
        "peer": False,
        "response": True,
        "finish": True,
    }
    chain.close()


def test_a_chain_of_no_elements_passes_everything(tmp_path: Path) -> None:
    chain = NativeChain(build(bound((), ("Say",)), tmp_path))
    rpc = chain.rpc("/sample.Sample/Say", "", PlainHeaders(), GivenTape())
    assert rpc.request(b"\x07").action is Action.FORWARD
    assert rpc.response(b"\x07").message is None
    rpc.finish(0, 0, 1)
    chain.close()


def test_what_a_chain_does_not_cover_is_as_asked(tmp_path: Path) -> None:
    for pass_unknown, action in ((False, Action.REJECT), (True, Action.FORWARD)):
        folder = tmp_path / str(pass_unknown)
        chain = NativeChain(build(bound(("Acl",), ("Say",)), folder, pass_unknown=pass_unknown))
        rpc = chain.rpc("/sample.Sample/Chat", "", PlainHeaders(), GivenTape())
        assert rpc.request(b"").action is action
        rpc.finish(0, 0, 1)
        chain.close()


def price(key: bytes, value: int) -> bytes:
    """An entry of `prices`."""
    return b"\xc2\x01" + bytes((len(key) + 4, 10, len(key))) + key + bytes((16, value))


def test_a_large_map_with_repeated_keys_is_read_whole(tmp_path: Path) -> None:
    """100,000 entries, half of the keys twice: time and memory stay linear."""
    chain = NativeChain(build(bound(("Prices",), ("Say",)), tmp_path))
    data = b"".join(price(str(n % 50_000).encode(), n % 100) for n in range(100_000))
    rpc = chain.rpc("/sample.Sample/Say", "", PlainHeaders(), GivenTape())
    assert rpc.request(data).action is Action.FORWARD
    rpc.finish(0, 0, 1)
    chain.close()


def in_use() -> int:
    """Bytes that this process has from malloc."""

    class Info(ct.Structure):
        _fields_ = [
            (name, ct.c_size_t)
            for name in (
                "arena",
                "ordblks",
                "smblks",
                "hblks",
                "hblkhd",
                "usmblks",
                "fsmblks",
                "uordblks",
                "fordblks",
                "keepcost",
            )
        ]

    libc = ct.CDLL(None)
    if not hasattr(libc, "mallinfo2"):
        pytest.skip("this libc does not tell what is in use")
    libc.mallinfo2.restype = Info
    info = libc.mallinfo2()
    return int(info.uordblks + info.hblkhd)


def test_what_looking_at_a_message_took_does_not_wait_with_the_rpc(tmp_path: Path) -> None:
    """A stranger's RPCs that stand open cost what their messages do, not a hundred times that."""
    chain = NativeChain(build(bound(("Tags", "Log"), ("Say",)), tmp_path))
    rpc = chain.rpc("/sample.Sample/Say", "", PlainHeaders(), GivenTape())
    items = b"\xba\x01\x00" * 50_000
    assert rpc.request(b"").action is Action.FORWARD
    before = in_use()
    assert rpc.request(items).action is Action.FORWARD
    assert in_use() - before < 2 * len(items)
    rpc.finish(0, 0, 1)
    chain.close()


def test_a_message_that_no_protobuf_reader_takes_for_its_size_is_malformed(tmp_path: Path) -> None:
    """A field that nobody knows, of almost 2 GiB, and behind it one that the element reads."""
    chain = NativeChain(build(bound(("Acl",), ("Say",)), tmp_path))
    rpc = chain.rpc("/sample.Sample/Say", "", PlainHeaders(), GivenTape())
    unknown = b"\xa2\x3f\xf0\xff\xff\xff\x07"  # 1012: 0x7ffffff0 bytes
    user = b"\x0a\x02me"
    whole = mmap.mmap(
        -1, len(unknown) + 0x7FFF_FFF0 + 8 * len(user)
    )  # pages that nobody touches do not exist
    whole[: len(unknown)] = unknown
    whole[-8 * len(user) :] = 8 * user
    kept = ct.c_char.from_buffer(whole)
    found = rpc.message_at("ts_chain_request", Slice(ct.addressof(kept), len(whole)))
    assert (found.action, found.code) == (Action.REJECT, 3)
    del kept
    whole.close()
    rpc.finish(0, 0, 1)
    chain.close()


def of_text(text: str, folder: Path) -> NativeChain:
    """The chain of one element, written here."""
    compiled = compile_text(HEAD + text, "element.py")
    diagnostics = Diagnostics()
    binding = bind(compiled.programs, service("sample.Sample"), diagnostics, methods=["Say"])
    assert binding is not None, [str(d) for d in (*compiled.diagnostics, *diagnostics)]
    return NativeChain(build(binding, folder))


HEAD = """
from transect.lang import Sequence, trace
from transect.rpc import Element, Forward, Message, Outcome, Reject, Respond, Rpc, Verdict

class Ask(Message):
    user: str
    tags: Sequence[str]
"""


def field(key: bytes, text: bytes) -> bytes:
    size, coded = len(text), bytearray()
    while size > 127:
        coded.append(size & 127 | 128)
        size >>= 7
    return key + bytes((*coded, size)) + text


def test_a_message_that_takes_too_much_memory_is_refused(tmp_path: Path) -> None:
    """Small items take many times their size: a hostile message must not take what others need, or end the process."""
    chain = NativeChain(build(bound(("Tags", "Log"), ("Say",)), tmp_path))
    rpc = chain.rpc("/sample.Sample/Say", "", PlainHeaders(), GivenTape())
    before = in_use()
    found = rpc.request(b"\xba\x01\x00" * (4 << 20))
    assert (found.action, found.code) == (Action.REJECT, 8)
    assert found.text == b"looking into this message takes too much memory"
    assert in_use() - before < 1 << 16
    rpc.finish(8, 1, 1)
    again = chain.rpc("/sample.Sample/Say", "", PlainHeaders(), GivenTape())
    assert again.request(b"\xba\x01\x00").action is Action.FORWARD
    again.finish(0, 0, 1)
    chain.close()


def test_a_handler_that_takes_too_much_memory_ends_and_lets_others_in(tmp_path: Path) -> None:
    chain = of_text(
        """
class Shout(Element):
    seen: int = 0
    ends: int = 0

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        self.seen += 1
        for tag in rpc.msg.tags:
            trace(f"{rpc.msg.user} {tag}")
        return Forward()

    def finish(self, rpc: Rpc[Ask], outcome: Outcome) -> None:
        self.ends += 1
""",
        tmp_path,
    )
    before = chain.save(0)
    rpc = chain.rpc("/sample.Sample/Say", "", PlainHeaders(), GivenTape())
    message = field(b"\x0a", b"x" * (1 << 20)) + field(b"\xa2\x01", b"t") * 1000
    found = rpc.request(message)
    assert (found.action, found.code) == (Action.REJECT, 8)
    rpc.finish(8, 1, 1)
    rpc = chain.rpc("/sample.Sample/Say", "", PlainHeaders(), GivenTape())
    assert rpc.request(field(b"\x0a", b"me")).action is Action.FORWARD, "its lock is free"
    rpc.finish(0, 0, 1)
    after = chain.save(0)
    assert (before.count(b"\x02"), after.count(b"\x02")) == (0, 2), "both calls, and both ends"
    chain.close()


def test_what_no_later_hook_reads_is_not_kept(tmp_path: Path) -> None:
    chain = of_text(
        """
class Long(Element):
    size: int = 0

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        self.size += sum(len(tag) for tag in rpc.msg.tags)
        return Forward()

    def finish(self, rpc: Rpc[Ask], outcome: Outcome) -> None:
        self.size += len(rpc.msg.user)
""",
        tmp_path,
    )
    rpc = chain.rpc("/sample.Sample/Say", "", PlainHeaders(), GivenTape())
    assert rpc.request(b"").action is Action.FORWARD
    before = in_use()
    assert rpc.request(field(b"\x0a", b"me") + field(b"\xa2\x01", b"t" * 1000) * 100).action is Action.FORWARD
    assert in_use() - before < 32768, "of 100,000 bytes"
    rpc.finish(0, 0, 1)
    chain.close()
