# SPDX-License-Identifier: Apache-2.0
"""Two arrangements of a chain as compiled C, and random streams through both: Python around `two_orders.c`."""

from __future__ import annotations

import random
import struct
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from transect.analysis.concrete import Content, instance_of
from transect.core.ir import Program
from transect.emit.c.toolchain import RUNTIME as C_RUNTIME
from transect.rpc.equivalence import LEVELS, Judge, Level, Settings, Stand
from transect.rpc.equivalence.service import REPLY, REQUEST
from transect.rpc.equivalence.simulate import Trial
from transect.rpc.functions import compress_text, seal_text
from transect.rpc.native.build import RPC_RUNTIME, shared_object
from transect.rpc.native.chain import emit_chain

HERE = Path(__file__).parent
KEY = b"k" * 32
TEXTS = ("", "x", "y", "a" * 60, compress_text("a" * 60), seal_text("x", KEY, 1, 2) or "")
# So that streams meet limits, full tables, and both answers of every question.
STATES: Mapping[str, Mapping[str, object]] = {
    "Acl": {"allowed": Content([("ann", True), ("bob", True)])},
    "Bandwidth": {"rate": 400},
    "Breaker": {"limit": 2},
    "Cache": {"keep": 3 * 10**9},
    "Decrypt": {"key": KEY},
    "Encrypt": {"key": KEY},
    "Fault": {"abort": 0.1, "delay": 0.2},
    "HeaderRouting": {"routes": Content([("v1", "one"), ("v2", "two")])},
    "Mutation": {"changes": Content([(("user", "eve"), "ann"), (("text", "x"), "y")])},
    "RateLimit": {"burst": 3, "per_second": 2, "buckets": Content([], 4094)},
    "Redact": {"hidden": Content([("n", "m")])},
    "RetryBudget": {"share": 30},
    "Sticky": {"routes": Content([(0, "a"), (1, "b"), (2, "c")])},
}


@dataclass(frozen=True)
class Streams:
    """What came of streams: RPCs, messages, replies, ends, rejected, answered, sent again; or the first difference."""

    counts: Sequence[int]
    difference: str = ""


def permuted(stands: Sequence[Stand], level: Level, judge: Judge, seed: int) -> list[Stand]:
    """The elements in another order that the judge accepts: neighbours change places, again and again."""
    rng, found = random.Random(seed), list(stands)
    for _ in range(4 * len(found)):
        i = rng.randrange(len(found) - 1)
        first, second = found[i : i + 2]
        others = [s for s in stands if s.name not in (first.name, second.name)]
        if judge.swap(first, second, others, level).holds:
            found[i : i + 2] = [second, first]
    return found


def judge() -> Judge:
    return Judge(Settings(limit=20, witnesses=False))


class Orders:
    """Two orders of some elements, compiled."""

    def __init__(self, folder: Path, first: Sequence[Stand], second: Sequence[Stand]) -> None:
        self.folder = folder
        self.elements: dict[str, Program] = {s.name: s.program for s in first}
        self.names = [[s.name for s in one] for one in (first, second)]
        self.trial = Trial(self.elements)
        with ThreadPoolExecutor(2) as both:
            self.libraries = list(both.map(self._compiled, self.names))

    def _compiled(self, names: Sequence[str]) -> Path:
        places = ", ".join(str(list(self.elements).index(name)) for name in names)
        files = dict(emit_chain(self.trial.bound(names)).files)
        files["chain.c"] = f"#define TS_GIVEN_FACTS {places}\n".encode() + files["chain.c"]
        return shared_object("chain", files, folder=self.folder, flags=("-O0", "-fvisibility=default", "-lm"))

    def run(self, level: Level, seed: int, rpcs: int) -> Streams:
        """So many random RPCs through both."""
        given = self.folder / f"given-{level}-{seed}.bin"
        given.write_bytes(self._given(level, seed, rpcs))
        command = [str(driver()), *map(str, self.libraries), str(given)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if done.returncode == 1:
            return Streams((), done.stdout.strip())
        assert done.returncode == 0, f"status {done.returncode}: {done.stdout}{done.stderr}"
        return Streams([int(n) for n in done.stdout.split()])

    def _given(self, level: Level, seed: int, rpcs: int) -> bytes:
        elements = list(self.elements)
        head = struct.pack("<IIQQ", LEVELS.index(level), len(elements), seed, rpcs)
        orders = b"".join(struct.pack("<I", elements.index(n)) for names in self.names for n in names)
        images = [instance_of(p, STATES.get(p.name, {})).image() for p in self.elements.values()]
        pools = (self._messages(REQUEST), self._messages(REPLY), [b"x-version"], [b"v1", b"v2", b"v9"])
        peers = [b"ann", b"bob"]
        return head + orders + b"".join(map(_sized, images)) + b"".join(map(_pool, (*pools, peers)))

    def _messages(self, name: str) -> list[bytes]:
        rng = random.Random(name)
        values = {"user": ("ann", "bob", "eve"), "text": TEXTS, "key": ("a", "b", "c"), "note": ("n", "o")}
        there = [f.name for f in self.trial.service.messages[name].fields if f.name in values]
        return [
            self.trial.encode(name, {f: rng.choice(values[f]) for f in there}, rng.choice((0, 0, 40, 300)))
            for _ in range(40)
        ]


@cache
def driver() -> Path:
    """The program that plays the carrier of both."""
    target = Path(_PLACE.name) / "two_orders"
    command = ["gcc", "-O1", f"-I{RPC_RUNTIME}", f"-I{C_RUNTIME}", "-o", str(target)]
    done = subprocess.run([*command, str(HERE / "two_orders.c"), "-ldl"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


_PLACE = tempfile.TemporaryDirectory()  # goes with the process


def _sized(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


def _pool(items: Sequence[bytes]) -> bytes:
    return struct.pack("<I", len(items)) + b"".join(map(_sized, items))
