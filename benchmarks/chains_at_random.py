# SPDX-License-Identifier: Apache-2.0
"""Chains for claims about placement, drawn with a seed: elements of the library, positions, guards, library carriers.

Elements which a WASM sidecar cannot carry (cache, retry budget) and one that wants several servers (sticky) are left
out: the written order could not be built as the baseline.  A pair (encrypt and decrypt, compress and expand) counts as
two elements.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from arranged import read

from transect.rpc.chain.arrangement import names
from transect.rpc.chain.constraints import pieces
from transect.rpc.chain.model import ChainFile

KEY = repr(bytes(range(32)))
ELEMENTS = {  # by module and policy: its arguments, with which all calls pass
    "null.Null": "",
    "acl.Acl": 'allowed={"alice": True}',
    "rate_limit.RateLimit": "per_second=1000000000, burst=1000000000",
    "admission.Admission": "most=1000000",
    "mutation.Mutation": 'changes={("text", "secret"): "***"}',
    "metrics.Metrics": "",
    "logging.Logging": "",
    "fault.Fault": "abort=0.0, delay=0.0",
    "bandwidth.Bandwidth": "rate=1000000000000",
    "breaker.Breaker": "",
    "header_routing.HeaderRouting": "",
    "encrypt.Encrypt": f"key={KEY}",
    "compress.Compress": "",
}
ENDS = {"encrypt.Encrypt": ("decrypt.Decrypt", f"key={KEY}"), "compress.Compress": ("expand.Expand", "")}
STATEFUL = {
    "rate_limit.RateLimit",
    "admission.Admission",
    "metrics.Metrics",
    "bandwidth.Bandwidth",
    "breaker.Breaker",
}
POSITIONS = ("client", "any", "server")


@dataclass(frozen=True)
class Drawn:
    chain: ChainFile
    client_library: bool
    server_library: bool

    @property
    def kind(self) -> str:
        return ("none", "one", "both")[self.client_library + self.server_library]

    @property
    def all_in_one_library(self) -> bool:
        """Whether all elements can stand in the client's library, the choice of somebody who looks at latency alone."""
        found = pieces(self.chain.elements, self.chain.wishes)
        return all(any(at.value == "client library" for at in piece.allowed) for piece in found)


def draw(rng: random.Random, count: int, path: Path) -> Drawn:
    """A chain of so many elements whose written order can be built, with some state, and a guard."""
    while True:
        chosen = _elements(rng, count)
        if not any(name in STATEFUL for name, _ in chosen):
            continue
        libraries = [side for side in ("client", "server") if rng.random() < 0.5]
        drawn = _placed(rng, chosen, libraries, path)
        if drawn is not None:
            return Drawn(drawn, "client" in libraries, "server" in libraries)


def _elements(rng: random.Random, count: int) -> list[tuple[str, str]]:
    """Elements in a random order; the two ends of a pair keep their own."""
    found: list[tuple[str, str]] = []
    while len(found) < count:
        name = rng.choice(list(ELEMENTS))
        if name in ENDS and (len(found) + 2 > count or any(other == name for other, _ in found)):
            continue
        at = rng.randint(0, len(found))
        found.insert(at, (name, ELEMENTS[name]))
        if name in ENDS:
            found.insert(rng.randint(at + 1, len(found)), ENDS[name])
    return found


def _placed(
    rng: random.Random, chosen: list[tuple[str, str]], libraries: list[str], path: Path
) -> ChainFile | None:
    called = names([name.partition(".")[2] for name, _ in chosen])
    forced = {a.partition(".")[2]: "client" for a in ENDS} | {
        b.partition(".")[2]: "server" for b, _ in ENDS.values()
    }
    drawn = _positions(rng, [(forced[name],) if name in forced else POSITIONS for name in called])
    if drawn is None:
        return None
    places = {name: place for name, place in zip(called, drawn, strict=True) if name not in forced}
    guards = [name for name, place in places.items() if place != "client"]
    if not guards:
        return None
    words = {
        "place": {name: place for name, place in places.items() if place != "any"},
        "guards": [rng.choice(guards)],
        "libraries": libraries,
        "pairs": [
            (a.partition(".")[2], b.partition(".")[2]) for a, (b, _) in ENDS.items() if a in dict(chosen)
        ],
    }
    try:
        return read(path, _text(chosen, words))
    except AssertionError:  # the written order cannot be built
        return None


def _positions(rng: random.Random, choices: list[tuple[str, ...]]) -> list[str] | None:
    """A sequence in which no `client` comes behind a `server`; all such sequences are equally likely."""

    @cache
    def ways(index: int, served: bool) -> int:
        if index == len(choices):
            return 1
        return sum(
            ways(index + 1, served or c == "server") for c in choices[index] if not (served and c == "client")
        )

    found: list[str] = []
    while len(found) < len(choices):
        served, index = "server" in found, len(found)
        those = [c for c in choices[index] if not (served and c == "client")]
        weights = [ways(index + 1, served or c == "server") for c in those]
        if not sum(weights):
            return None
        found += rng.choices(those, weights)
    return found


def _text(chosen: list[tuple[str, str]], words: dict[str, object]) -> str:
    imports = {
        f"from transect.examples.rpc.{module} import {policy}"
        for module, _, policy in (name.partition(".") for name, _ in chosen)
    }
    elements = ", ".join(f"{name.partition('.')[2]}({given})" for name, given in chosen)
    said = "".join(f"    {word}={value!r},\n" for word, value in words.items())
    head = "\n".join([*sorted(imports), "from transect.rpc import Chain", ""])
    return (
        f'{head}\nchain = Chain(\n    service="echo.Echo", upstream="127.0.0.1:1", methods=["Say"],\n'
        f"    elements=[{elements}],\n{said})\n"
    )
