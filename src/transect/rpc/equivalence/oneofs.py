# SPDX-License-Identifier: Apache-2.0
"""The oneofs of a chain's messages, if its file names the protos and an element assigns a field that may
belong to one.
"""

from __future__ import annotations

from transect.core.ir import Program
from transect.core.types import OptionType
from transect.rpc.chain.model import ChainFile
from transect.rpc.chain.needs import needs
from transect.rpc.equivalence.world import Oneofs
from transect.rpc.messages.protos import from_files


def oneofs_of(chain: ChainFile) -> Oneofs:
    """None if they are not known, or do not matter.  Raises ProtoError."""
    if not chain.protos or not any(_assigns_option(use.program) for use in chain.elements):
        return None
    service = from_files(chain.protos, chain.proto_path).service(chain.service)
    if service is None:
        return None
    found: dict[tuple[str, str], list[str]] = {}
    for method in service.methods:
        if not chain.methods or method.name in chain.methods:
            for message in {method.request, method.reply}:
                for f in service.messages[message].fields:
                    if f.oneof and f.name not in found.setdefault((message, f.oneof), []):
                        found[message, f.oneof].append(f.name)
    return tuple(tuple(names) for _, names in sorted(found.items()))


def _assigns_option(program: Program) -> bool:
    for access in needs(program).accesses:
        member = program.view(access.view).member(access.field)
        if access.write and member is not None and isinstance(member.type, OptionType):
            return True
    return False
