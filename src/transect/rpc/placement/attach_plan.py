# SPDX-License-Identifier: Apache-2.0
"""The part of a plan that a program carries in its gRPC library.

channel = transect.rpc.attach_plan(channel, "shop.plan.json")
server = transect.rpc.attach_plan(server, "shop.plan.json", service=shop_pb2)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import grpc
from grpc import aio

from transect.base.render import render_text
from transect.emit.py.build import build
from transect.emit.py.image import restore
from transect.lang.functions import PolicyError
from transect.rpc.chain.arrangement import Layout, Processor
from transect.rpc.chain.file import edge_of, first_state
from transect.rpc.chain.model import ChainFile, ElementUse
from transect.rpc.equivalence.levels import Level
from transect.rpc.grpcio import carrier
from transect.rpc.grpcio.attach import put_before, service_of
from transect.rpc.grpcio.making import Maker
from transect.rpc.messages.protos import ProtoError, from_reflection
from transect.rpc.messages.wire import ProtoService
from transect.rpc.placement.checked import checked

Target = TypeVar("Target", grpc.Channel, grpc.Server, aio.Channel, aio.Server)


def attach_plan(
    target: Target,
    plan: str | Path,
    *,
    edge: str = "",
    level: str = Level.SERVICE,
    service: Any = None,
    native: bool | None = None,
    cache: Path | None = None,
    peer: str = "",
    attempts: int = 5,
    name: str | None = None,
) -> Target:
    """`target` with the elements in front of it that the plan (of `transect rpc plan CHAIN -o PLAN`) puts into its
    gRPC library; `target` itself when there are none.

    `edge`: the service's full name, where the chain file has several.  `level`: the level ("identical", "service",
    "loose") at which the plan must mean what the chain file says; a plan at a stricter level will do.  `service`: as
    for `attach`; by default the chain file's `protos=`, and without these the service is asked by reflection.  The
    other parameters are as for `attach`.

    Raises PlanError for a plan that is not there, that was made from a chain file or policies which have changed since,
    or that means something else than they do; PolicyError, ProtoError and Unavailable as `attach` does; Unavailable
    also where elements changed places, and this machine neither knows whether they may nor has a solver to find out;
    ValueError where there is no such level.
    """
    kept = checked(Path(plan), level=Level(level))
    read = edge_of(kept.read, kept.path, edge)
    if read.chain is None:
        raise PolicyError("\n" + render_text(read.diagnostics, read.sources))
    uses = _part(kept.layout(read.chain), read.chain, target)
    if not uses:
        return target
    found = _service(read.chain, service)
    chain = read.chain
    maker = Maker(
        found, chain.methods or None, carrier.of(target), native, cache, peer, attempts, chain.speaks_first
    )
    policies = [_policy(use) for use in uses]
    return put_before(target, maker, [use.program for use in uses], policies, name)


def _part(layout: Layout, chain: ChainFile, target: Any) -> Sequence[ElementUse]:
    at = Processor.CLIENT_LIBRARY if carrier.of(target).client else Processor.SERVER_LIBRARY
    group = next((group for group in layout if group.processor is at), None)
    return [] if group is None else [chain.elements[index] for index in group.elements]


def _policy(use: ElementUse) -> Any:
    policy = build(use.program)()
    restore(policy, first_state(use.program, use.values))
    return policy


def _service(chain: ChainFile, service: Any) -> ProtoService:
    if service is not None:
        return service_of(service)
    if chain.protos:
        return service_of(chain.service, chain.protos)
    found = from_reflection(str(chain.upstream)).service(chain.service)
    if found is None:
        raise ProtoError(f"{chain.upstream} has no service {chain.service}", "give `service=`, or `protos=`")
    return found
