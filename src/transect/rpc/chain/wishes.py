# SPDX-License-Identifier: Apache-2.0
"""Reads what a chain file says about places: `place=`, `order=`, `pairs=`, `guards=`, `trusted=`, `libraries=`,
`required=`, `proxies=`."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from transect.base.diagnostic import Diagnostics, closest
from transect.base.span import NOWHERE, Span
from transect.core.frontend.source import Source
from transect.rpc.chain.arrangement import (
    NOTHING_SAID,
    PLACES,
    PROXIES,
    SIDES,
    Carrier,
    Order,
    Pairing,
    Place,
    Processor,
    Wishes,
)

WORDS = ("place", "order", "pairs", "guards", "trusted", "libraries", "required", "proxies")
T = TypeVar("T")


def wishes(
    given: Mapping[str, ast.expr], elements: Sequence[str], source: Source, diagnostics: Diagnostics
) -> Wishes:
    """The words about places among a chain's keywords; `elements`: the names of its elements."""
    read = _Words(elements, source, diagnostics)
    default = NOTHING_SAID
    trusted, required = given.get("trusted"), given.get("required")
    return Wishes(
        place=read.place(given.get("place")),
        order=[Order(a, b, at) for a, b, at in read.two(given.get("order"), "order")],
        pairs=[Pairing(a, b, at) for a, b, at in read.two(given.get("pairs"), "pairs")],
        guards=dict(read.names(given.get("guards"), "guards")),
        trusted=default.trusted if trusted is None else read.processors(trusted, "trusted"),
        libraries=tuple(read.choices(given.get("libraries"), "libraries", SIDES)),
        libraries_span=read.span(given.get("libraries")),
        required=() if required is None else read.required(required),
        carriers=read.carriers(given.get("proxies")) or default.carriers,
        said=any(word in given for word in WORDS),
    )


class _Words:
    def __init__(self, elements: Sequence[str], source: Source, diagnostics: Diagnostics) -> None:
        self.elements = elements
        self.source = source
        self.diagnostics = diagnostics

    def span(self, node: ast.expr | None) -> Span:
        return NOWHERE if node is None else self.source.span(node)

    def error(self, node: ast.expr, message: str, help: str, label: str) -> None:
        self.diagnostics.error("R030", message, self.source.span(node), label=label, help=help)

    def place(self, node: ast.expr | None) -> dict[str, Place]:
        if node is None:
            return {}
        if not isinstance(node, ast.Dict) or None in node.keys:
            help = 'write `place={"Acl": "server", "Mutation": ["client library", "client proxy"]}`'
            self.error(node, "`place` says where elements stand", help, "not a dict")
            return {}
        found: dict[str, Place] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            assert key is not None, "looked at above"
            name = self.element(key)
            if name in found:
                self.error(key, f"`place` has `{name}` twice", "give its places once", "again")
            processors = self.processors(value, "place")
            if name is not None and processors:
                found[name] = Place(processors, self.source.span(key).to(self.source.span(value)))
        return found

    def element(self, node: ast.expr) -> str | None:
        return self.choice(node, "the chain has no element", self.elements)

    def names(self, node: ast.expr | None, word: str) -> Iterable[tuple[str, Span]]:
        for item in self.items(node, word):
            name = self.element(item)
            if name is not None:
                yield name, self.source.span(item)

    def two(self, node: ast.expr | None, word: str) -> Iterable[tuple[str, str, Span]]:
        for item in self.items(node, word):
            if not isinstance(item, ast.Tuple) or len(item.elts) != 2:
                help = f'write `{word}=[("First", "Second")]`'
                self.error(item, f"`{word}` is a list of two names each", help, "not two names")
                continue
            first, second = map(self.element, item.elts)
            if first == second and first is not None:
                self.error(item, f"`{word}` names {first} twice", "name two elements", "the same")
            elif first is not None and second is not None:
                yield first, second, self.source.span(item)

    def processors(self, node: ast.expr, word: str) -> tuple[Processor, ...]:
        """One place, or a list of them."""
        several = isinstance(node, ast.List | ast.Tuple)
        items = self.items(node, word) if several else [node]
        if word == "place" and not items:
            help = 'name a place, such as "server", or leave the element out: it may then stand anywhere'
            self.error(node, "`place` leaves an element no place", help, "no place")
        found = [self.choice(item, "there is no place", list(PLACES)) for item in items]
        named = {p for one in found if one is not None for p in PLACES[one]}
        return tuple(p for p in Processor if p in named)

    def required(self, node: ast.expr) -> tuple[Processor, ...]:
        found = self.processors(node, "required")
        for processor in found:
            if processor not in PROXIES:
                help = 'write `required=["server proxy"]`'
                self.error(node, f"`required` is for proxies, which the {processor} is not", help, "no proxy")
        return found

    def carriers(self, node: ast.expr | None) -> tuple[Carrier, ...]:
        found = tuple(map(Carrier, self.choices(node, "proxies", list(Carrier))))
        if isinstance(node, ast.List | ast.Tuple) and not node.elts:
            help = 'write `proxies=["native", "wasm"]`, or leave it out'
            self.error(node, "`proxies` leaves proxies nothing to load", help, "empty")
        if found == (Carrier.BUILT_IN,) and node is not None:
            help = 'write `proxies=["native", "built-in"]`'
            self.error(
                node, "not each element is one of Envoy's own filters", help, "what shall the others be?"
            )
        return found

    def choices(self, node: ast.expr | None, word: str, known: Iterable[str]) -> list[str]:
        known = list(known)
        found = [self.choice(item, f"`{word}` does not have", known) for item in self.items(node, word)]
        return [one for one in found if one is not None]

    def choice(self, node: ast.expr, wrong: str, known: Sequence[str]) -> str | None:
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and text in known:
            return text
        said = f"`{text}`" if isinstance(text, str) else f"`{ast.unparse(node)}`"
        close = closest(text, known) if isinstance(text, str) else None
        help = f'write `"{close}"`' if close else f"there are {', '.join(known)}"
        self.error(node, f"{wrong} {said}", help, "unknown")
        return None

    def items(self, node: ast.expr | None, word: str) -> list[ast.expr]:
        if node is None:
            return []
        if isinstance(node, ast.List | ast.Tuple):
            return list(node.elts)
        self.error(node, f"`{word}` is a list", f"write `{word}=[…]`", "not a list")
        return []
