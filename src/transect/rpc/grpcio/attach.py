# SPDX-License-Identifier: Apache-2.0
"""Putting a chain of elements in front of a grpcio channel or server.

    channel = transect.rpc.attach(channel, [Acl(), RateLimit(per_second=5)], service=echo_pb2)
    server = transect.rpc.attach(server, [Acl()], service=echo_pb2)

Use the result in place of the channel or server that was given; stubs and `add_…Servicer_to_server` do not change.
Attach first, then add services to the result: a service that is added elsewhere is not behind the chain.

The chain works on serialised messages.  Put interceptors around it (`grpc.intercept_channel(attach(…), mine)`).  Those
given to an asyncio channel or a server when it is made are below the chain, and see serialised messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import grpc
from grpc import aio

from transect.core.ir import Program
from transect.emit.py.image import image
from transect.rpc.grpcio import carrier
from transect.rpc.grpcio.attached import Attached
from transect.rpc.grpcio.making import Maker
from transect.rpc.messages.protos import ProtoError, Protos, from_files, from_module
from transect.rpc.messages.wire import ProtoService
from transect.rpc.versions.upgrade import Version

Target = TypeVar("Target", grpc.Channel, grpc.Server, aio.Channel, aio.Server)


def attach(
    target: Target,
    elements: Sequence[Any],
    *,
    service: Any,
    protos: Sequence[str | Path] = (),
    proto_path: Sequence[str | Path] = (),
    methods: Iterable[str] | None = None,
    native: bool | None = None,
    cache: Path | None = None,
    peer: str = "",
    attempts: int = 5,
    speaks_first: Iterable[str] = (),
    name: str | None = None,
) -> Target:
    """`target` (a channel or a server, of `grpc` or `grpc.aio`) with a chain in front of a service's methods.

    `elements`: policy objects, in chain order; the chain begins with a copy of their present state.
    `service`: a generated `…_pb2` module with one service, a service descriptor, or, with `protos` (.proto or .binpb
    files), a full name; imports are found below the folders `proto_path`, or beside each file.
    `methods`: names of the methods to cover, by default all; the others pass untouched.
    `native`: True insists on the compiled chain, False on emitted Python; by default the chain is compiled where that
    is possible, and otherwise the result's `.chain.reason` says why not.  `cache`: where compiled chains are kept.
    `peer`: who a channel's calls come from, as `rpc.peer` shows it.  `attempts`: how often one unary RPC is tried at
    most, where an element asks for a `Retry`.  `speaks_first`: names of methods whose handler may speak before its
    client does; such a handler begins before any policy has run, others only when the first request has passed.
    `name`: the name by which `status`, `set` and `record` reach the chain.

    Raises PolicyError with the diagnostics when an element does not fit the service or cannot run here, Unavailable
    when `native=True` and there is no compiler or no Python.h.
    """
    policies = list(elements)
    programs = [program_of(policy) for policy in policies]
    names = None if methods is None else tuple(methods)
    found, first = service_of(service, protos, proto_path), tuple(speaks_first)
    maker = Maker(found, names, carrier.of(target), native, cache, peer, attempts, first)
    return put_before(target, maker, programs, policies, name)


def put_before(
    target: Target, maker: Maker, programs: Sequence[Program], policies: Sequence[Any], name: str | None
) -> Target:
    """`target` with a chain of policy objects, whose programs are known, in front of it; errors as of `attach`."""
    binding = maker.bound(programs, lambda: _sources(programs))
    version = Version(tuple(programs), tuple(image(policy) for policy in policies))
    chain = Attached(maker, maker.standing(version, binding, policies))
    if name is not None:
        from transect.rpc.grpcio.listening import listen

        listen(chain, name)
    return cast(Target, _wrapped(target, chain))


def _wrapped(target: Any, chain: Attached) -> Any:
    from transect.rpc.grpcio import aio as aio_client
    from transect.rpc.grpcio import aio_server, client, server

    made: Any
    match target:
        case grpc.Channel():
            made = client.Channel(target, chain.versions)
        case aio.Channel():
            made = aio_client.Channel(target, chain.versions)
        case grpc.Server():
            made = server.Server(target, chain.versions)
        case _:
            made = aio_server.Server(target, chain.versions)
    made.chain = chain
    return made


# ---------------------------------------------------------------- what is bound


def program_of(policy: Any) -> Program:
    """The checked program behind a policy object."""
    from transect.emit.py import load

    if not hasattr(type(policy), "__transect__"):
        raise TypeError(f"a policy object is wanted, such as `Acl()`, not {policy!r}")
    raw = next(cls for cls in type(policy).__mro__ if "__transect__" not in vars(cls))
    path, text = load.source_of(raw)
    return load.program_of(path, text, raw.__name__)


def _sources(programs: Iterable[Program]) -> dict[str, str]:
    from transect.core.frontend.source import text_now

    return {p.path: text for p in programs if (text := text_now(p.path))}


def service_of(
    service: Any, protos: Sequence[str | Path] = (), proto_path: Sequence[str | Path] = ()
) -> ProtoService:
    """What `service=` stands for.  Raises ProtoError, and TypeError for an object that names no service."""
    if isinstance(service, ProtoService):
        return service
    if isinstance(service, str):
        if not protos:
            raise ProtoError(f"`service={service!r}` needs `protos=`", "or give the generated module")
        return _named(from_files(list(map(Path, protos)), list(map(Path, proto_path))), service)
    if hasattr(service, "full_name") and hasattr(service, "methods"):
        return _named(Protos(service.file.pool, [service.file.name]), service.full_name)
    if hasattr(service, "DESCRIPTOR"):
        known = from_module(service)
        if len(known.services) != 1:
            names = ", ".join(known.services) or "none"
            raise ProtoError(
                f"{service.__name__} has {len(known.services)} services: {names}",
                "give one: `service=x_pb2.DESCRIPTOR.services_by_name['Name']`",
            )
        return _named(known, known.services[0])
    raise TypeError(f"a generated module, a service descriptor or a name is wanted, not {service!r}")


def _named(protos: Protos, name: str) -> ProtoService:
    found = protos.service(name)
    if found is None:
        raise ProtoError(f"no service {name}", f"there are: {', '.join(protos.services) or 'none'}")
    return found
