# SPDX-License-Identifier: Apache-2.0
"""`transect demo rpc`: real calls of a real service, directly, through a chain in the client's library, and through a
stock Envoy; and the same chain in C, Python and the interpreter, call by call."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc

from transect.base.diagnostic import Diagnostics
from transect.base.shipped import paths
from transect.base.unavailable import Unavailable
from transect.core.frontend import compile_file
from transect.core.interp import Instance
from transect.core.ir import Program
from transect.demos.paint import GREEN, YELLOW, painted
from transect.demos.shown import Shown
from transect.lang.tape import GivenTape
from transect.rpc import echo
from transect.rpc.chain.binding import Binding, bind
from transect.rpc.chain.file import first_state, read_chain
from transect.rpc.chain.fitting import bound
from transect.rpc.chain.model import ChainFile
from transect.rpc.chain.python import Action, Emitted, Interpreted, PythonChain
from transect.rpc.chain.views import PlainHeaders
from transect.rpc.envoy.deploy import deploy
from transect.rpc.envoy.process import EnvoyFailed
from transect.rpc.grpcio import native
from transect.rpc.grpcio.attach import attach, service_of

CALLS = 200  # timed, on each path
WARMING = 20
RANDOM_CALLS = 10_000

CHAIN = """\
from transect.examples.rpc.acl import Acl
from transect.examples.rpc.mutation import Mutation
from transect.examples.rpc.rate_limit import RateLimit
from transect.rpc import Chain

chain = Chain(
    service="echo.Echo",
    upstream="127.0.0.1:{port}",
    elements=[
        Acl(allowed={{"alice": True, "bob": True}}),
        RateLimit(per_second=1000000, burst=1000000),
        Mutation(changes={{("user", "alice"): "a.smith", ("text", "secret"): "***"}}),
    ],
)
"""

Say = Callable[[str], None]
Missing = Callable[[str, str], None]  # called with what to say, and what stands in for the missing part


def run(say: Say = print, *, color: bool = False) -> Shown:
    """The demo; right when everything agreed."""
    stand_ins: list[str] = []

    def real(text: str) -> None:
        say(painted(text, GREEN, color))

    def missing(text: str, stand_in: str) -> None:
        say(painted(text, YELLOW, color))
        stand_ins.append(stand_in)

    began = time.monotonic()
    real(f"rpc: real gRPC calls (grpcio {version('grpcio')}) to a real echo service")
    programs = _compile(say)
    server, port = echo.serve()
    try:
        with tempfile.TemporaryDirectory(prefix="transect-demo-") as folder:
            chain = _chain(Path(folder), port)
            came = _paths(chain, port, Path(folder), say, real, missing)
            same = _agree(programs, say, missing)
    finally:
        server.stop(None)
    say(f"\n{time.monotonic() - began:.1f} s.  Try next:")
    say("  transect new acl.py --for rpc             a policy of your own, and its test")
    say("  transect explain acl.py --emit c          the C that it becomes, side by side")
    say("  transect rpc run chain.py                 a chain in front of your own service")
    return Shown(came and same, tuple(stand_ins))


def _compile(say: Say) -> dict[str, Program]:
    found: dict[str, Program] = {}
    began = time.perf_counter()
    files = paths("rpc")
    for path in files:
        found |= {p.name: p for p in compile_file(path).programs}
    took = (time.perf_counter() - began) * 1000
    say(f"compiled {len(found)} example policies in {took:.0f} ms: {', '.join(p.stem for p in files)}")
    return found


def _chain(folder: Path, port: int) -> ChainFile:
    path = folder / "chain.py"
    path.write_text(CHAIN.format(port=port))
    chain = read_chain(path).chain
    assert chain is not None, "the demo's own chain file is wrong"
    return chain


# ---------------------------------------------------------------- three paths


def _paths(chain: ChainFile, port: int, folder: Path, say: Say, real: Say, missing: Missing) -> bool:
    """Call by each path; False if Envoy is installed and fails."""
    diagnostics = Diagnostics()
    binding = bound(chain, diagnostics)
    assert binding is not None, [d.message for d in diagnostics]
    target = f"127.0.0.1:{port}"
    with grpc.insecure_channel(target) as direct:
        _show("directly", direct, direct, say)
        with grpc.insecure_channel(target) as channel:
            attached: Any = attach(channel, _policies(chain), service=echo.DESCRIPTOR)
            if not attached.chain.native:
                why = f"the chain in the library runs as emitted Python: {attached.chain.reason}"
                missing(why, "emitted Python for C in the library")
            how = "native C" if attached.chain.native else "Python"
            _show(f"chain in the library, {how}", attached, direct, say)
        try:
            with deploy(chain, binding, folder / "envoy", workers=1) as running:
                real(f"a stock Envoy {running.binary.version} with the chain as a native module")
                with grpc.insecure_channel(str(running.envoy.address)) as channel:
                    _show(f"chain in Envoy {running.binary.version}", channel, direct, say)
        except Unavailable as lacking:
            missing(f"no Envoy here, for lack of {lacking}", "nothing for Envoy")
        except EnvoyFailed as problem:
            real(f"Envoy failed: {problem}")
            return False
    return True


def _policies(chain: ChainFile) -> list[Any]:
    """Policy objects with the chain file's first state."""
    from transect.examples.rpc.acl import Acl
    from transect.examples.rpc.mutation import Mutation
    from transect.examples.rpc.rate_limit import RateLimit

    made = [Acl(), RateLimit(), Mutation()]
    for policy, use in zip(made, chain.elements, strict=True):
        for name, value in use.values.items():
            if isinstance(value, dict):
                for key, item in value.items():
                    getattr(policy, name)[key] = item
            else:
                setattr(policy, name, value)
    return made


def _show(path: str, channel: grpc.Channel, direct: grpc.Channel, say: Say) -> None:
    """Show what two users are told, and the latency beside that of direct calls.

    Both take turns, since no machine is equally fast all the time.
    """
    stub, beside = echo.Stub(channel), echo.Stub(direct)
    said = [
        f"{user}: {_verdict(stub, user, text)}" for user, text in (("alice", "secret"), ("mallory", "hi"))
    ]
    for _ in range(WARMING):
        _timed(stub)
    times, others = zip(*((_timed(stub), _timed(beside)) for _ in range(CALLS)), strict=True)
    p50, than = statistics.median(times) * 1e6, statistics.median(others) * 1e6
    against = "" if channel is direct else f", directly {than:.0f}"
    say(f"  {path:32} {f'{p50:.0f} µs p50{against}':28}  " + "   ".join(said))


def _verdict(stub: echo.Stub, user: str, text: str) -> str:
    try:
        return f"answered {stub.Say(echo.Ask(user=user, text=text), timeout=5).text!r}"
    except grpc.RpcError as error:
        return f"refused, {error.code().name}"


def _timed(stub: echo.Stub) -> float:
    began = time.perf_counter()
    stub.Say(echo.Ask(user="bob", text="hello"), timeout=5)
    return time.perf_counter() - began


# ---------------------------------------------------------------- one meaning

Outcome = tuple[int, int, bytes | str | None]


def _agree(programs: dict[str, Program], say: Say, missing: Missing) -> bool:
    """Whether random calls through the chain come out alike in C, in emitted Python and on the interpreter."""
    chosen = [programs["Acl"], programs["Mutation"], programs["Metrics"]]
    diagnostics = Diagnostics()
    binding = bind(chosen, service_of(echo.DESCRIPTOR), diagnostics)
    assert binding is not None, [d.message for d in diagnostics]
    values: list[dict[str, object]] = [
        {"allowed": {f"user{i}": True for i in range(0, 20, 2)}},
        {"changes": {("user", "user2"): "user3"}},
        {},
    ]
    images = [first_state(p, v) for p, v in zip(chosen, values, strict=True)]
    engines = {
        "the interpreter": _python(binding, [Interpreted(Instance(p)) for p in chosen], images),
        "emitted Python": _python(binding, [Emitted(_made(p)) for p in chosen], images),
    }
    try:
        engines["C"] = _native(binding, images)
    except Unavailable as lacking:
        missing(f"no C here, for lack of {lacking}", "two engines for three")
    names = list(engines)
    say(f"the same {RANDOM_CALLS:,} random calls through {', '.join(names[:-1])} and {names[-1]} …")
    differing = sum(len({engines[name](call) for name in names}) > 1 for call in _random_calls())
    say(f"  {'all agree' if not differing else f'{differing} DIFFER'}")
    return not differing


def _made(program: Program) -> Any:
    from transect.examples.rpc import acl, metrics, mutation

    return {"Acl": acl.Acl, "Mutation": mutation.Mutation, "Metrics": metrics.Metrics}[program.name]()


def _random_calls() -> Iterator[bytes]:
    """Messages of the echo service: ordinary ones, and bytes that are no message."""
    rng = random.Random(1)
    for _ in range(RANDOM_CALLS):
        message: bytes = echo.Ask(
            user=f"user{rng.randrange(20)}", text="x" * rng.randrange(40)
        ).SerializeToString()
        if rng.random() < 0.1:
            at = rng.randrange(len(message) + 1)
            message = message[:at] + rng.randbytes(rng.randrange(4)) + message[at + 1 :]
        yield message


def _python(binding: Binding, engines: Sequence[Any], images: Sequence[bytes]) -> Callable[[bytes], Outcome]:
    chain = PythonChain(binding, engines)
    for index, image in enumerate(images):
        chain.load(index, image)
    tape = GivenTape()

    def call(message: bytes) -> Outcome:
        rpc = chain.rpc("/echo.Echo/Say", "demo", PlainHeaders(), tape)
        verdict = rpc.request(message)
        rpc.finish(verdict.code, 0 if verdict.action is Action.FORWARD else 1, 0)
        passed = verdict.message if verdict.message is not None else message
        said = passed if verdict.action is Action.FORWARD else verdict.text.decode()
        return int(verdict.action), verdict.code, said

    return call


def _native(binding: Binding, images: Sequence[bytes]) -> Callable[[bytes], Outcome]:
    native.headers()
    handle = native.chain(native.emitted(binding))
    for index, image in enumerate(images):
        assert handle.load(index, image), "emitted C and the interpreter disagree on the state's image"

    def call(message: bytes) -> Outcome:
        rpc = handle.begin("/echo.Echo/Say", "demo", None)
        decided = rpc.request(message)
        if isinstance(decided, bytes):
            decided = (int(Action.FORWARD), 0, decided, 0, None, 0)
        action, code, data = decided[:3]
        rpc.finish(code, 0 if action == Action.FORWARD else 1)
        return action, code, data

    return call
