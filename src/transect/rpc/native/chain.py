# SPDX-License-Identifier: Apache-2.0
"""A chain as C: the unit which implements `runtime/chain.h` for a list of elements on one service.

What is the same for all chains is in `runtime/elements.h`.  Emitted are the policies' handlers, the scanner, a wrapper
for each hook between the two, and tables.  `chain/python.py` says what a chain means.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib.resources import files
from typing import Any

from transect.core.schema import schema
from transect.core.types import spell
from transect.emit.artifact import Artifact
from transect.emit.c import tree as c
from transect.emit.c.emitter import RUNTIME, runtime
from transect.emit.c.printer import render
from transect.rpc.chain.binding import Binding, BoundElement
from transect.rpc.chain.fields import plans
from transect.rpc.chain.needs import HOOKS
from transect.rpc.messages.redaction import Redaction
from transect.rpc.native.element import ElementCode, static, void
from transect.rpc.native.scan import Scanners
from transect.rpc.native.view_code import empties
from transect.rpc.native.views import FUNCTIONS

LICENCE = "SPDX-License-Identifier: Apache-2.0"
RPC_RUNTIME = (
    "chain.h",
    "headers.h",
    "scan.h",
    "map.h",
    "rewrite.h",
    "passing.h",
    "redact.h",
    "elements.h",
    "functions.h",
    "lz4.h",
    "seal.h",
    "sha256.h",
)


def emit_chain(
    binding: Binding, *, pass_unknown: bool = False, file: str = "chain.c", marks: bool = True
) -> Artifact:
    """`chain.c` and the runtime's headers, so that `cc -c chain.c` works in the folder.

    `pass_unknown`: methods that the binding does not cover pass untouched; else they are refused with UNIMPLEMENTED.
    """
    unit = _Chain(binding, pass_unknown)
    own = {file: render(file, unit.declarations(), marks).encode()}
    folder = files("transect.rpc") / "runtime"
    return Artifact(own | runtime() | {name: (folder / name).read_bytes() for name in RPC_RUNTIME})


def describe(binding: Binding) -> dict[str, Any]:
    """What `ts_chain_description` says."""
    return {
        "abi": 1,
        "service": binding.service.name,
        "elements": [_element(e) for e in binding.elements],
        "methods": [
            {"path": m.path, "client_streams": m.client_streams, "server_streams": m.server_streams}
            for m in binding.methods
        ],
        "needs": needs_of(binding),
    }


def _element(element: BoundElement) -> dict[str, Any]:
    fields = [{"name": f.name, "type": spell(f.type), "kind": str(f.kind)} for f in element.program.state]
    return {
        "name": element.name,
        "hash": element.program.source_hash,
        "schema": schema(element.program).hash,
        "hooks": sorted(element.needs.hooks),
        "fields": fields,
    }


def needs_of(binding: Binding) -> dict[str, bool]:
    """Which message bytes, metadata and events a carrier must hand to the chain."""

    def uses(hook: str, *fields: str) -> bool:
        return any(e.needs.uses_of(hook, *fields) for e in binding.elements)

    return {
        "request": any(uses(hook, "msg", "body") for hook in HOOKS),
        "reply": any(uses(hook, "reply", "reply_body") for hook in HOOKS),
        "headers": any(uses(hook, "headers") for hook in HOOKS),
        "trailers": any(uses(hook, "trailers") for hook in HOOKS),
        "peer": any(uses(hook, "peer") for hook in HOOKS),
        "response": any("response" in e.needs.hooks for e in binding.elements),
        "finish": any("finish" in e.needs.hooks for e in binding.elements),
    }


# ---------------------------------------------------------------- the unit


class _Chain:
    def __init__(self, binding: Binding, pass_unknown: bool) -> None:
        self.binding = binding
        self.pass_unknown = pass_unknown
        self.scanners = Scanners(plans(binding))
        self.elements = [ElementCode(self.scanners, i, e) for i, e in enumerate(binding.elements)]

    @cached_property
    def roots(self) -> list[str]:
        """Messages that are requests or replies."""
        return list(dict.fromkeys(name for m in self.binding.methods for name in (m.request, m.reply)))

    def declarations(self) -> Iterator[c.Decl]:
        yield c.Comment(LICENCE)
        names = ", ".join(e.name for e in self.binding.elements)
        yield c.Comment(f"The chain {names} on {self.binding.service.name}, emitted by transect.")
        yield from map(c.Include, RUNTIME)
        yield from self._secrets()
        yield c.Include("elements.h")
        if any(
            i.name.removeprefix("rpc.") in FUNCTIONS
            for e in self.binding.elements
            for i in e.program.intrinsics
        ):
            yield c.Include("functions.h")
        yield from self.scanners.declarations()
        yield from empties(self.scanners)
        yield from self._root_functions()
        for element in self.elements:
            yield from element.declarations()
        yield from self._tables()
        yield from self._interface()

    # ------------------------------------------------------------ secrets

    def _secrets(self) -> Iterator[c.Decl]:
        """What logs hold the digests of, before the log is: nothing for a chain without secrets."""
        redaction = Redaction(self.binding.service.messages, self.binding.secrets)
        if not redaction.tables:
            return
        places = {message: number for number, message in enumerate(redaction.tables)}

        def within(message: str | None) -> c.Expr:
            return c.name("TS_DIGEST") if message is None else c.Integer(places[message])

        yield c.Include("redact.h")
        for message, number in places.items():
            rows = [
                c.braces(c.Integer(f, "u"), within(inner)) for f, inner in redaction.tables[message].items()
            ]
            yield c.Comment(message)
            yield _table(f"chain_secrets_{number}", "ts_secret", rows)
        rows = [
            c.braces(c.name(f"chain_secrets_{n}"), c.Integer(len(redaction.tables[m]), "u"))
            for m, n in places.items()
        ]
        yield _table("chain_secrets", "ts_secrets", rows)
        open_ = c.name("TS_OPEN")
        pairs = [
            c.braces(
                *(c.Integer(places[m]) if m in places else open_ for m in (method.request, method.reply))
            )
            for method in self.binding.methods
        ]
        yield c.Var(
            "chain_secret_messages",
            c.ArrayOf(c.ArrayOf(c.Named("int32_t", True), c.Integer(2)), None),
            c.braces(*pairs),
            static=True,
        )

    # ------------------------------------------------------------ roots

    def _root_functions(self) -> Iterator[c.Decl]:
        """The scanner's functions, wrapped so that all messages are passed by one type of pointer."""
        for name in self.roots:
            plan = self.scanners.plans[name]
            if not plan.visible:
                continue
            short, struct = self.scanners.names[name], self.scanners.struct(name)
            found = c.name("found")
            const = c.StructType(struct.tag, True)
            scan = c.call(f"scan_{short}", c.Cast(c.Pointer(struct), found), c.name("c"))
            yield static(
                f"root_scan_{short}",
                c.BOOL,
                (void("found"), c.Var("c", c.pointer("ts_cursor"))),
                c.Return(scan),
            )
            if plan.changes:
                held = c.Cast(c.Pointer(const), found)
                changed = c.Return(c.call(f"changed_{short}", held))
                yield static(f"root_changed_{short}", c.BOOL, (void("found", const=True),), changed)
                params = (
                    void("found", const=True),
                    c.Var("pieces", c.pointer("ts_pieces", True)),
                    c.Var("out", c.pointer("ts_buffer")),
                )
                rewritten = c.Do(c.call(f"rewrite_{short}", held, c.name("pieces"), c.name("out")))
                yield static(f"root_rewrite_{short}", c.VOID, params, rewritten)

    def _root(self, name: str) -> c.Braces:
        plan, short = self.scanners.plans[name], self.scanners.names[name]
        text = c.String(name.encode())
        if not plan.visible:
            return c.braces(text, c.ZERO, c.NULL, c.NULL, c.NULL)
        size, scan = c.SizeOf(self.scanners.struct(name)), c.name(f"root_scan_{short}")
        if not plan.changes:
            return c.braces(text, size, scan, c.NULL, c.NULL)
        return c.braces(text, size, scan, c.name(f"root_changed_{short}"), c.name(f"root_rewrite_{short}"))

    # ------------------------------------------------------------ tables

    def _tables(self) -> Iterator[c.Decl]:
        yield _table("chain_roots", "ts_root", [self._root(name) for name in self.roots])
        methods = [
            c.braces(
                c.String(m.path.encode()),
                c.Integer(len(m.path.encode()), "u"),
                c.Integer(self.roots.index(m.request), "u"),
                c.Integer(self.roots.index(m.reply), "u"),
            )
            for m in self.binding.methods
        ]
        yield _table("chain_methods", "ts_method", methods or [c.braces(c.NULL, c.ZERO, c.ZERO, c.ZERO)])
        rows = [element.row() for element in self.elements] or [c.braces(c.NULL)]
        yield _table("chain_elements", "ts_element", rows)
        init = c.braces(
            c.name("chain_elements"),
            c.Integer(len(self.elements), "u"),
            c.name("chain_methods"),
            c.Integer(len(methods), "u"),
            c.name("chain_roots"),
            c.TRUE if self.pass_unknown else c.FALSE,
        )
        yield c.Var("chain_tables", c.StructType("ts_tables", True), init, static=True)

    def _interface(self) -> Iterator[c.Decl]:
        text = json.dumps(describe(self.binding), ensure_ascii=True, separators=(",", ":")).encode()
        yield c.Var("ts_chain_abi", c.Named("uint32_t", True), c.name("TS_CHAIN_ABI"))
        yield c.Var("ts_chain_description", c.ArrayOf(c.Named("char", True), None), c.String(text))
        size: c.Expr = c.call("TS_ALIGNED", c.SizeOf(c.StructType("ts_rpc_head")))
        for element in self.elements:
            size = c.Binary("+", size, c.call("TS_ALIGNED", c.SizeOf(element.kept_type)))
        yield c.Var("ts_chain_rpc_size", c.Named("size_t", True), size)
        needs = needs_of(self.binding)
        yield c.Var("ts_chain_peer", c.Named("int", True), c.Integer(int(needs["peer"])))
        yield c.Var("ts_chain_hears_end", c.Named("int", True), c.Integer(int(needs["finish"])))
        chain, tables = c.Var("chain", c.Pointer(c.Named("ts_chain"))), c.address(c.name("chain_tables"))
        yield c.Function(
            "ts_chain_new", chain.type, (), c.Block((c.Return(c.call("ts_elements_new", tables)),))
        )
        yield _forward("ts_chain_free", c.VOID, (chain,))
        message = (
            void("rpc_state"),
            c.Var("rpc", c.pointer("ts_rpc", True)),
            c.Var("message", c.SLICE),
            c.Var("out", c.pointer("ts_verdict")),
        )
        yield _forward("ts_chain_request", c.VOID, (chain, *message))
        yield _forward("ts_chain_response", c.VOID, (chain, *message))
        ended = (c.Var("code", c.INT), c.Var("cause", c.Named("enum ts_cause")), c.Var("elapsed", c.I64))
        yield _forward(
            "ts_chain_finish", c.VOID, (chain, *message[:2], *ended, c.Var("out", c.pointer("ts_ending")))
        )
        position = c.Var("element", c.U32)
        save = (chain, position, c.Var("image", c.Pointer(c.U8)), c.Var("room", c.SIZE))
        yield _forward("ts_chain_save", c.SIZE, save)
        load = (chain, position, c.Var("image", c.Pointer(c.Named("uint8_t", True))), c.Var("size", c.SIZE))
        yield _forward("ts_chain_load", c.INT, load)


def _forward(name: str, returns: c.CType, params: Sequence[c.Var]) -> c.Function:
    """A function of chain.h, which calls that of elements.h with the tables."""
    given = c.call(
        name.replace("ts_chain_", "ts_elements_"),
        c.address(c.name("chain_tables")),
        *(c.name(p.name) for p in params),
    )
    return c.Function(
        name, returns, tuple(params), c.Block((c.Do(given) if returns == c.VOID else c.Return(given),))
    )


def _table(name: str, tag: str, rows: Sequence[c.Init]) -> c.Var:
    return c.Var(name, c.ArrayOf(c.StructType(tag, True), None), c.braces(*rows), static=True)
