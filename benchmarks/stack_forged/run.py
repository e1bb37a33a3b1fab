# SPDX-License-Identifier: Apache-2.0
"""Ten thousand requests with forged, expired, replayed, doubled and stripped words that name their tenant: to a chain
in Envoy before a gRPC service, to that service itself, and to a gateway before an engine that answers at once.

`taken`: those that a layer took for a tenant's.  Every hundredth request has a good word, which must be believed.
The control: a service that believes the header unchecked.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import grpc
import httpx
from measuring import Control, Samples, begin, claim, report, result

from tests.parts import need
from tests.systems.forgeries import Forgeries
from tests.systems.llm.running import gateway
from tests.systems.llm.upstream import engine
from tests.systems.rpc.envoy.test_identity import KEY, fronted, key_in, shop
from transect.identity import HEADER, Keys

EACH = {"envoy": 4000, "service": 3000, "gateway": 3000}
GOOD = 100  # one of so many is good
Ask = Callable[[Sequence[str]], str]  # from values of the header to the tenant that the layer took it for


@contextmanager
def envoy(folder: Path, keys: Path) -> Iterator[Ask]:
    with shop(keys) as port, fronted(folder, keys, port) as front:
        yield lambda words: str(front.buy(*words)["caller"])


@contextmanager
def service(folder: Path, keys: Path) -> Iterator[Ask]:
    with shop(keys) as port, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        buy: Any = channel.unary_unary("/shop.Shop/Buy")
        yield lambda words: str(json.loads(buy(b"", metadata=[(HEADER, w) for w in words]))["caller"])


@contextmanager
def served(folder: Path, keys: Path) -> Iterator[Ask]:
    """The gateway says in its counters whose a request was."""
    settings = 'policy = "fcfs"'
    identity = f'[identity]\nkeys = "{keys}"\nunknown = "share"'
    with (
        engine(slots=64, token_s=0.0, capacity=4096) as behind,
        gateway(folder, [behind.url], ("alice", "bob"), settings=settings, tenants=identity) as running,
        httpx.Client(timeout=30) as http,
    ):
        body = {"prompt": [1], "max_tokens": 1}

        def tenants() -> dict[str, int]:
            rows = http.get(f"{running.admin}/status").json()["tenants"]
            return {row["name"]: row["prompt"] for row in rows}

        before = tenants()

        def ask(words: Sequence[str]) -> str:
            nonlocal before
            http.post(
                f"{running.url}/v1/completions", json=body, headers=[(HEADER, w) for w in words]
            ).raise_for_status()
            after = tenants()
            (who,) = [name for name, tokens in after.items() if tokens != before.get(name, 0)]
            before = after
            return who

        yield ask


def believed(said: str) -> str:
    """The tenant that a service which checks nothing would take it for."""
    return next((part for part in said.split(";")[:2] if part in ("alice", "bob")), "anonymous")


def main() -> None:
    need("envoy")
    report(whole(), __file__)


def whole() -> dict[str, Any]:
    the_claim, samples = claim(__file__), Samples()
    naive, all_taken = 0, 0
    for layer, with_layer in (("envoy", envoy), ("service", service), ("gateway", served)):
        taken = 0
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            path = key_in(folder / "identity.key", KEY)
            keys = Keys(path)
            with with_layer(folder, path) as ask:
                heard = keys.vouch("bob")
                assert ask([heard]) == "bob", f"{layer}: a good word is believed"
                kinds = list(Forgeries(keys, folder, heard).kinds.values())
                for number in range(EACH[layer]):
                    words = kinds[number % len(kinds)]()
                    taken += ask(words) != "anonymous"
                    naive += any(believed(word) != "anonymous" for word in words)
                    if number % GOOD == 0:
                        assert ask([keys.vouch("alice")]) == "alice", f"{layer}: a good word is believed"
        all_taken += taken
        print(f"{layer}: {taken} of {EACH[layer]:,} taken", file=sys.stderr)
    samples.add("taken", all_taken)
    return result(
        the_claim,
        samples,
        [Control("a service that takes the header for what it says", naive > 0)],
        requests=sum(EACH.values()),
        layers=list(EACH),
        grpcio=grpc.__version__,
    )


if __name__ == "__main__":
    begin(main)
