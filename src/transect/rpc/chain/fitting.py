# SPDX-License-Identifier: Apache-2.0
"""Checks a chain against its service: descriptors, the elements bound to them, and the files that it names.

`known` checks what files alone tell (`transect check`); `bound` asks the running service if the chain names no protos.
"""

from __future__ import annotations

import ssl

from transect.base.bounded import is_file
from transect.base.diagnostic import Diagnostics, closest
from transect.base.unavailable import Unavailable
from transect.rpc.chain.binding import Binding, bind
from transect.rpc.chain.carrier import ANYWHERE, ENVOY, Can, check, check_routes
from transect.rpc.chain.model import ChainFile
from transect.rpc.chain.shared_answers import warn_of_shared_answers
from transect.rpc.messages.protos import ProtoError, Protos, check_files, from_files, from_reflection
from transect.rpc.messages.wire import ProtoService


def known(chain: ChainFile, diagnostics: Diagnostics) -> None:
    """Report the errors of a chain that its files show.

    The chain may run on another machine, which may have a key that is missing here.
    """
    for word, why in unusable(chain):
        diagnostics.warning("R035", why, chain.spans[word], label="it cannot run so", help=R035_HELP)
    _routes(chain, diagnostics)
    if not chain.protos:
        return
    at = chain.spans["protos"]
    try:
        check_files(chain.protos, chain.proto_path)
        protos = from_files(chain.protos, chain.proto_path)
    except ProtoError as error:
        diagnostics.error("R033", str(error), at, label="its descriptors are needed", help=error.help)
    except Unavailable as missing:
        why = f"the elements were not compared with the service's messages: {missing.what} is missing"
        diagnostics.warning("R033", why, at, label="not looked into", help=missing.hint)
    else:
        _fitted(chain, protos, diagnostics, ANYWHERE)


def bound(chain: ChainFile, diagnostics: Diagnostics, carrier: Can = ENVOY) -> Binding | None:
    """The chain's elements on the service's descriptors; None when `diagnostics` has errors."""
    _routes(chain, diagnostics)
    if chain.upstream_tls.authority and not chain.protos:
        diagnostics.error(
            "R033",
            f"{chain.upstream} speaks TLS: its descriptors are not asked for by reflection",
            chain.span,
            label="its descriptors are needed",
            help="give `protos=[…]`",
        )
        return None
    at = chain.spans["protos" if chain.protos else "upstream"]
    try:
        protos = (
            from_files(chain.protos, chain.proto_path)
            if chain.protos
            else from_reflection(str(chain.upstream))
        )
    except ProtoError as error:
        diagnostics.error("R033", str(error), at, label="its descriptors are needed", help=error.help)
        return None
    return _fitted(chain, protos, diagnostics, carrier)


def _routes(chain: ChainFile, diagnostics: Diagnostics) -> None:
    programs = [use.program for use in chain.elements]
    check_routes(programs, chain.routes, diagnostics)
    warn_of_shared_answers(programs, diagnostics)


def _fitted(chain: ChainFile, protos: Protos, diagnostics: Diagnostics, carrier: Can) -> Binding | None:
    service = _service(chain, protos, diagnostics)
    if service is None:
        return None
    binding = bind(
        [use.program for use in chain.elements],
        service,
        diagnostics,
        methods=chain.methods or None,
        speaks_first=chain.speaks_first,
        at=chain.spans.get("methods", chain.span),
        by_worker=carrier.by_worker,
    )
    if binding is not None:
        check(binding, carrier, diagnostics)
    return None if diagnostics.failed else binding


def _service(chain: ChainFile, protos: Protos, diagnostics: Diagnostics) -> ProtoService | None:
    service = protos.service(chain.service)
    if service is None:
        close = closest(chain.service, protos.services)
        names = ", ".join(protos.services)
        diagnostics.error(
            "R033",
            f"there is no service `{chain.service}`",
            chain.span,
            label="unknown service",
            help=f"write `{close}`" if close else f"there are {names}" if names else "give `protos=[…]`",
        )
    return service


# ---------------------------------------------------------------- files of TLS

R035_HELP = "paths are relative to the chain file; Envoy takes certificates and keys in PEM"


def usable(chain: ChainFile, diagnostics: Diagnostics) -> None:
    """Report certificates and keys with which Envoy would not start."""
    for word, why in unusable(chain):
        diagnostics.error("R035", why, chain.spans[word], label="it cannot run so", help=R035_HELP)


def unusable(chain: ChainFile) -> list[tuple[str, str]]:
    """The keywords with files that cannot be used, and why."""
    found = []
    for word, tls in (("tls", chain.tls), ("upstream_tls", chain.upstream_tls)):
        named = [name for name in (tls.certificate, tls.key, tls.clients, tls.authority) if name]
        missing = [f"there is no file {name}" for name in named if not is_file(name)]
        why = missing or [
            *_pair(tls.certificate, tls.key),
            *_authority(tls.clients),
            *_authority(tls.authority),
        ]
        found += [(word, one) for one in why]
    return found


def _pair(certificate: str, key: str) -> list[str]:
    if not certificate:
        return []
    try:
        # A key with a password would make the library ask for it at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as wrong:
        return [f"{certificate} and {key} are no certificate with its key: {_said(wrong)}"]
    return []


def _authority(path: str) -> list[str]:
    if not path:
        return []
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except (OSError, ValueError) as wrong:
        return [f"{path} has no certificates: {_said(wrong)}"]
    return []


def _no_password() -> str:
    raise ValueError("the key has a password")


def _said(wrong: OSError | ValueError) -> str:
    if isinstance(wrong, ssl.SSLError):
        return (wrong.reason or "not understood").lower().replace("_", " ")
    return (wrong.strerror if isinstance(wrong, OSError) else None) or str(wrong)
