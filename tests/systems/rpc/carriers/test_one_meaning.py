# SPDX-License-Identifier: Apache-2.0
"""The same calls through all six carriers: both ends and the chain see the same; what they do not is in docs/rpc.md."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

import transect.rpc
from tests.systems.rpc.carriers.calls import CALLS, RAISING, Call, Kind
from tests.systems.rpc.carriers.carriers import (
    AT_ONCE,
    CARRIERS,
    Ran,
    Saw,
    grpcio_aio_client,
    grpcio_client,
    grpcio_server,
    in_envoy,
    wasm,
)
from tests.systems.rpc.carriers.differences import HEAD, rows, table
from tests.systems.rpc.carriers.judge import Judge
from tests.systems.rpc.carriers.service import Kit as Service
from tests.systems.rpc.carriers.service import generated
from transect.emit.artifact import Artifact
from transect.rpc.chain.carrier import ENVOY, Can
from transect.rpc.wasm import build
from transect.rpc.wasm.carrier import WASM

pytestmark = pytest.mark.needs("envoy", "gcc", "clang-19", "wasm-ld-19", "grpcio", "python-headers")

DOCS = Path(__file__).parents[4] / "docs" / "rpc.md"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Saw]]:
    folder = tmp_path_factory.mktemp("carriers")
    return {name: run(folder / name.replace(" ", "_"), CALLS).saws for name, run in CARRIERS.items()}


def documented() -> list[str]:
    """The table of docs/rpc.md."""
    lines = DOCS.read_text().splitlines()
    start = lines.index(HEAD[0])
    end = next(n for n in range(start, len(lines)) if not lines[n].startswith("|"))
    return lines[start:end]


def test_what_carriers_do_not_do_alike_is_the_table_in_the_docs(results: dict[str, dict[str, Saw]]) -> None:
    found = table(rows(CALLS, results))
    print("\n".join(found))
    assert found == documented()


def test_there_are_calls_of_each_kind_and_none_went_unseen(results: dict[str, dict[str, Saw]]) -> None:
    assert len(CALLS) >= 60
    assert {call.kind for call in CALLS} == set(Kind)
    assert len({call.name for call in CALLS}) == len(CALLS)
    for carrier, saws in results.items():
        unsaid = [name for name, saw in saws.items() if not saw.client.code]
        assert unsaid == [], f"{carrier}: the client was told nothing"
        heard = {saw.finish for saw in saws.values()}
        assert {"OK by REPLY", "NOT_FOUND by REPLY", "CANCELLED by CANCEL"} <= heard, carrier
        assert {"DEADLINE_EXCEEDED by DEADLINE", "PERMISSION_DENIED by REJECT"} <= heard, carrier


@pytest.mark.parametrize("carrier", [grpcio_client, grpcio_server])
def test_emitted_python_means_the_same(
    results: dict[str, dict[str, Saw]], carrier: object, tmp_path: Path
) -> None:
    run = {grpcio_client: "grpcio client", grpcio_server: "grpcio server"}[carrier]  # type: ignore[index]
    python = CARRIERS[run](tmp_path, CALLS, native=False).saws  # type: ignore[call-arg]
    assert rows(CALLS, {run: results[run], "emitted Python": python}) == []


@pytest.mark.parametrize("carrier", [grpcio_client, grpcio_aio_client])
def test_a_client_whose_iterator_raises_has_cancelled(
    carrier: Callable[[Path, tuple[Call, ...]], Ran], tmp_path: Path
) -> None:
    """Whatever status gRPC makes of it there: no peer has said it."""
    saws = carrier(tmp_path, RAISING).saws
    assert {saw.finish for saw in saws.values()} == {"CANCELLED by CANCEL"}


FORGETS = (
    (
        "    struct pairs p = c->maps[map];\n",
        """    struct pairs p = {0};
    const char *live = NULL;
    if (proxy_get_header_map_pairs((int)map, &live, &p.size) == WASM_OK && live) {
        keep(live);
        p.data = (const uint8_t *)live;
    }
""",
    ),
    ("        c->stream->unreadable = 1;\n", ""),
)


def test_the_kit_tells_a_plugin_that_forgets_headers(
    results: dict[str, dict[str, Saw]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As plugins once were: the host was asked when an element asked, and knows nothing of what has gone on."""
    whole = build.__globals__["fixed_files"]

    def forgetful(chain: Artifact) -> dict[str, bytes]:
        files = whole(chain)
        text = files["wasm_host.c"].decode()
        for before, after in FORGETS:
            assert text.count(before) == 1, before
            text = text.replace(before, after)
        return {**files, "wasm_host.c": text.encode()}

    calls = tuple(call for call in CALLS if "reads a header" in call.name)

    def differing(folder: Path) -> set[str]:
        both = {"grpcio server": results["grpcio server"], "plugin": wasm(folder, calls, AT_ONCE).saws}
        return {row.call for row in rows(calls, both)}

    assert differing(tmp_path / "whole") == set()
    monkeypatch.setitem(build.__globals__, "fixed_files", forgetful)
    assert differing(tmp_path / "spoilt") >= {
        "Collect: reads a header with each message",
        "Chat: reads a header with each message",
    }


class Greeter:
    """A service that speaks before its client does."""

    def Chat(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:
        yield generated()[0].Answer(text="welcome")


@contextmanager
def greeting(speaks_first: tuple[str, ...]) -> Iterator[Any]:
    plain = grpc.server(ThreadPoolExecutor(4))
    more: dict[str, Any] = {"methods": ["Chat"], "speaks_first": speaks_first}
    server = transect.rpc.attach(plain, [Judge()], service=generated()[0], **more)
    chat = grpc.stream_stream_rpc_method_handler(
        Greeter().Chat, generated()[0].Ask.FromString, generated()[0].Answer.SerializeToString
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("kit.Kit", {"Chat": chat}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        server.stop(0).wait()


@pytest.mark.parametrize("speaks_first", [(), ("Chat",)])
def test_a_service_that_speaks_first_is_named(speaks_first: tuple[str, ...]) -> None:
    """Where it is not, it hears nothing before the first request, however long the client waits."""
    heard = threading.Event()

    def patient() -> Iterator[bytes]:
        heard.wait(5)
        yield from ()

    with greeting(speaks_first) as channel:
        call = channel.stream_stream("/kit.Kit/Chat")(patient(), timeout=1.0)
        try:
            said = list(call)
        except grpc.RpcError:
            said = []
        heard.set()
        assert (len(said), call.code().name) == ((1, "OK") if speaks_first else (0, "DEADLINE_EXCEEDED"))


@pytest.mark.parametrize("can", [ENVOY, WASM], ids=["Envoy", "WASM plugin"])
def test_a_breaker_opens_for_a_service_that_hangs_whatever_the_deadline(can: Can, tmp_path: Path) -> None:
    """gRPC's core writes a second as 1010m: what looks like the client's change of mind is its deadline."""
    hangs = generated()[0].Ask(text="shang")
    with in_envoy(tmp_path / "chain", Service(), "elements=[Breaker()]", can) as (_, channel):
        say = generated()[1].KitStub(channel).Say
        calls = [say.future(hangs, timeout=1.0) for _ in range(5)]
        assert {call.code().name for call in calls} == {"DEADLINE_EXCEEDED"}
        last: Any = say.future(hangs, timeout=1.0)
        assert (last.code().name, last.details()) == ("UNAVAILABLE", "circuit open")
