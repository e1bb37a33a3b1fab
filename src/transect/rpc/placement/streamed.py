# SPDX-License-Identifier: Apache-2.0
"""Elements that set headers of streams, which not every carrier can do: they stay where the result is the same.

What each carrier can do is data (`rpc/chain/carrier.py`).  Only descriptors tell whether methods stream: where a chain
names no `protos=`, any method might.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from transect.rpc.chain.arrangement import PROCESSORS, Carrier, Processor, Wishes
from transect.rpc.chain.carrier import ENVOY, Can, Streams, streams_of
from transect.rpc.chain.constraints import Piece
from transect.rpc.chain.model import ChainFile
from transect.rpc.chain.needs import headers_changed
from transect.rpc.grpcio.carrier import CLIENT, SERVER
from transect.rpc.messages.protos import from_files
from transect.rpc.wasm.carrier import WASM

Methods = Mapping[Streams, str]
"""For each kind of streams: a method of that kind."""
HOOKS = ("request", "response")


def apart(
    chain: ChainFile, found: Sequence[Piece], reference: Sequence[Processor]
) -> list[Mapping[Processor, str]]:
    """For each element: the processors where its result would differ from that of the written place, and why.

    Raises ProtoError.
    """
    setting = [tuple(hook for hook in HOOKS if _sets(piece, hook)) for piece in found]
    if not any(setting):
        return [{} for _ in found]
    streaming = _streaming(chain)
    return [
        dict(_elsewhere(hooks, home, chain.wishes, streaming))
        for hooks, home in zip(setting, reference, strict=True)
    ]


def _sets(piece: Piece, hook: str) -> bool:
    return any(True for _ in headers_changed(piece.program, hook, "headers"))


def _streaming(chain: ChainFile) -> Methods | None:
    """None: it is not known."""
    service = from_files(chain.protos, chain.proto_path).service(chain.service) if chain.protos else None
    if service is None:
        return None
    covered = [m for m in service.methods if not chain.methods or m.name in chain.methods]
    return {kind: m.path for m in reversed(covered) if (kind := streams_of(m)) is not None}


def carrier_at(at: Processor, wishes: Wishes) -> Can:
    match at:
        case Processor.CLIENT_LIBRARY:
            return CLIENT
        case Processor.SERVER_LIBRARY:
            return SERVER
        case Processor.CLIENT_PROXY | Processor.SERVER_PROXY:
            return ENVOY if Carrier.NATIVE in wishes.carriers else WASM


def _may(kind: Streams, streaming: Methods | None) -> bool:
    return streaming is None or kind in streaming


def _elsewhere(
    hooks: Sequence[str], home: Processor, wishes: Wishes, streaming: Methods | None
) -> Iterator[tuple[Processor, str]]:
    here = carrier_at(home, wishes)
    for at in PROCESSORS:
        there = carrier_at(at, wishes)
        if at is not home and there.client and "request" in hooks and _may(Streams.REQUESTS, streaming):
            yield at, f"it sets headers in `request`: where {Streams.REQUESTS}, {there.name} refuses that"
            continue
        for hook in hooks:
            for kind in Streams:
                can, cannot = (here, there) if kind in here.sets[hook] else (there, here)
                if (kind in here.sets[hook]) == (kind in there.sets[hook]):
                    continue
                if streaming is None:
                    why = "whether methods stream, only `protos=` would tell"
                elif kind in streaming:
                    why = f"as those of {streaming[kind]}"
                else:
                    continue
                yield (
                    at,
                    f"it sets headers in `{hook}`, which {can.name} does where {kind}, and {cannot.name}"
                    f" does not: {why}",
                )
