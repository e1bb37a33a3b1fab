# SPDX-License-Identifier: Apache-2.0
"""Reading four fields: the emitted scanner beside libprotobuf in C++, and a native element beside plain Python.

Control: the scanner in Python (`transect.rpc.messages.scanner`) is correct and must miss the Python target.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from measuring import Control, Samples, begin, claim, interleaved, report, result
from needed import libraries, tool

from transect.base.diagnostic import Diagnostics
from transect.core.frontend import compile_file
from transect.emit.artifact import Artifact
from transect.emit.c import tree as c
from transect.emit.c.emitter import runtime
from transect.emit.c.printer import render
from transect.emit.py.build import build
from transect.emit.py.image import image
from transect.rpc.chain.binding import Binding, bind
from transect.rpc.chain.fields import plans
from transect.rpc.grpcio import native
from transect.rpc.messages import protos
from transect.rpc.messages.scanner import scan
from transect.rpc.native.chain import emit_chain
from transect.rpc.native.scan import Scanners

HERE = Path(__file__).parent
ROUNDS = 21
FLAGS = ["-O2", "-g0"]
INCLUDE = Path(native.__file__).parents[1] / "runtime"
METHOD = "/four.Four/Say"
USERS = ("alice", "bob", "carol", "mallory")


def messages() -> list[bytes]:
    """64 requests of 60 to 130 bytes; in every eighth a field comes twice (the last one counts)."""
    ask = message_class()
    rng, made = random.Random(1), []
    for number in range(64):
        one = ask(
            user=rng.choice(USERS),
            key=f"k-{rng.randrange(10**6)}",
            cost=rng.randrange(900),
            body=rng.randbytes(rng.randrange(40, 90)),
        )
        twice = ask(user="mallory").SerializeToString() if number % 8 == 0 else b""
        made.append(twice + one.SerializeToString())
    return made


def message_class() -> Any:
    from google.protobuf import message_factory

    pool = protos.from_files([HERE / "four.proto"])._pool
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("four.Ask"))


def bound() -> Binding:
    compiled, diagnostics = compile_file(str(HERE / "policy.py")), Diagnostics()
    service = protos.from_files([HERE / "four.proto"]).service("four.Four")
    assert service is not None
    binding = bind(compiled.programs, service, diagnostics)
    assert binding is not None, list(diagnostics)
    return binding


# ---------------------------------------------------------------- C


def driver(binding: Binding, folder: Path) -> Path:
    """The C++ program, with the scanner that the chain of `policy.py` would have."""
    scanners = Scanners(plans(binding))
    assert len(scanners.plans["four.Ask"].visible) == 4, "all four fields are read"
    text = render("scanner.h", [c.Include("rewrite.h"), *scanners.declarations()], False)
    Artifact({"scanner.h": text.encode()} | runtime()).write(folder)
    flags = libraries("protobuf")
    subprocess.run([tool("protoc"), f"-I{HERE}", f"--cpp_out={folder}", str(HERE / "four.proto")], check=True)
    steps = (
        [
            tool("gcc"),
            *FLAGS,
            "-std=gnu11",
            "-c",
            f"-I{folder}",
            f"-I{INCLUDE}",
            str(HERE / "reader.c"),
            "-o",
            "reader.o",
        ],
        [
            tool("g++"),
            *FLAGS,
            f"-I{folder}",
            str(HERE / "driver.cc"),
            "four.pb.cc",
            "reader.o",
            *flags,
            "-o",
            "driver",
        ],
    )
    for step in steps:
        subprocess.run(step, cwd=folder, check=True)
    return folder / "driver"


def timed(program: Path, side: str, corpus: Path) -> Callable[[], dict[str, float]]:
    def run() -> dict[str, float]:
        done = subprocess.run([program, side, "20000", corpus], capture_output=True, text=True, check=True)
        return {"c": float(done.stdout.split()[0])}

    return run


def same_answers(program: Path, corpus: Path) -> None:
    sums = {
        side: subprocess.run([program, side, "1", corpus], capture_output=True, text=True).stdout.split()[1]
        for side in ("ours", "libprotobuf")
    }
    assert sums["ours"] == sums["libprotobuf"], sums


# ---------------------------------------------------------------- Python


def element(binding: Binding, folder: Path) -> Callable[[bytes], bool]:
    """The native element, as a carrier calls it: one RPC a message."""
    chain = native.chain(emit_chain(binding).files, folder)
    policy = build(binding.elements[0].program)()
    for user in USERS[:3]:
        policy.allowed[user] = True
    assert chain.load(0, image(policy))
    begin = chain.begin

    def decide(data: bytes) -> bool:
        return begin(METHOD, "", None).request(data).__class__ is bytes

    return decide


def by_hand() -> Callable[[bytes], bool]:
    ask, allowed = message_class(), dict.fromkeys(USERS[:3], True)

    def decide(data: bytes) -> bool:
        message = ask.FromString(data)
        if not allowed.get(message.user, False):
            return False
        return message.key.startswith("k-") and message.cost <= 1000 and len(message.body) <= 4096

    return decide


def in_python(binding: Binding) -> Callable[[bytes], bool]:
    """The control: the walk in Python."""
    found, allowed = plans(binding), dict.fromkeys(USERS[:3], True)

    def decide(data: bytes) -> bool:
        user, key, cost, body = scan(found, "four.Ask", data).values
        return allowed.get(user, False) and key.startswith("k-") and cost <= 1000 and len(body) <= 4096

    return decide


def looped(
    decide: Callable[[bytes], bool], corpus: list[bytes], times: int = 150
) -> Callable[[], dict[str, float]]:
    def run() -> dict[str, float]:
        start = time.process_time_ns()
        for _ in range(times):
            for data in corpus:
                decide(data)
        return {"python": (time.process_time_ns() - start) / times / len(corpus)}

    return run


def main() -> None:
    the_claim, corpus, binding = claim(__file__), messages(), bound()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "corpus"
        path.write_bytes(b"".join(len(m).to_bytes(4, "little") + m for m in corpus))
        program = driver(binding, folder)
        same_answers(program, path)
        samples = interleaved(timed(program, "ours", path), timed(program, "libprotobuf", path), ROUNDS)
        ours, theirs, slow = element(binding, folder), by_hand(), in_python(binding)
        assert [ours(m) for m in corpus] == [theirs(m) for m in corpus] == [slow(m) for m in corpus]
        assert 0 < sum(map(theirs, corpus)) < len(corpus), "some pass, some do not"
        interleaved(looped(ours, corpus), looped(theirs, corpus), ROUNDS, into=samples)
        toy = interleaved(looped(slow, corpus, 30), looped(theirs, corpus, 30), 5, into=Samples())
        each = {
            "ours_ns": timed(program, "ours", path)()["c"],
            "libprotobuf_ns": timed(program, "libprotobuf", path)()["c"],
        }
        each |= {
            "native_element_ns": looped(ours, corpus)()["python"],
            "python_ns": looped(theirs, corpus)()["python"],
        }
    missed = min(toy.values["python"]) > the_claim.targets["python"].limit
    report(
        result(the_claim, samples, [Control("the same walk in Python", missed)], flags=FLAGS, **each),
        __file__,
    )


if __name__ == "__main__":
    begin(main)
