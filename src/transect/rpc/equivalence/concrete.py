# SPDX-License-Identifier: Apache-2.0
"""A model as a stream: the state from which elements start, the messages, and what each call is told.

If the model says something about fields in some bytes, they become a real message with those fields, so that a reply
from a cache is a message, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from transect.analysis.concrete import Facts, Reader
from transect.analysis.solve import Model
from transect.analysis.terms import Op, Sort, Term, function, var
from transect.core.ir import View
from transect.core.types import OptionType, Type, ViewType
from transect.core.values import Record, struct_fields, struct_name
from transect.rpc.equivalence.passes import Chain
from transect.rpc.equivalence.service import REPLY, REQUEST
from transect.rpc.equivalence.simulate import Trial, filler
from transect.rpc.equivalence.streams import Event, Step, Stream
from transect.rpc.messages.wire import Presence

CAUSES = 5
ABSTRACT = b"Text"  # the beginning of bytes about which a model only says that they differ from others


class Reading(Reader):
    """Reads one model."""

    def __init__(self, chain: Chain, trial: Trial, model: Model, question: Iterable[Term]) -> None:
        super().__init__(model, question)
        self.chain = chain
        self.trial = trial

    def body(self, value: bytes) -> bytes:
        return self.messages.get(value, value)

    def entry(self, value: Any) -> Any:
        return _parsed(value)

    def stream(self, steps: Sequence[tuple[str, Step]]) -> Stream:
        state = {name: self.state(e.program, name) for name, e in self.chain.elements.items()}
        events, calls = [], dict[tuple[str, Step], int]()
        for rpc, step in steps:
            calls[rpc, step] = calls.get((rpc, step), 0) + 1
            call = rpc if calls[rpc, step] == 1 else f"{rpc} {calls[rpc, step]}"
            events.append(self.event(rpc, step, call))
        return Stream({name: fields for name, fields in state.items() if fields}, events)

    # ------------------------------------------------------------ events

    def event(self, rpc: str, step: Step, call: str) -> Event:
        tapes = {name: self.facts(f"{name} {call} {step}") for name in self.chain.elements}
        answers = {name: self.facts(f"{name} {call} answer response") for name in self.chain.elements}
        tapes = {name: t if t != Facts() else answers[name] for name, t in tapes.items()}
        tapes = {name: t for name, t in tapes.items() if t != Facts()}
        match step:
            case Step.FINISH:
                outcome = {n: self.number(f"{call} {n}") for n in ("code", "cause", "elapsed")}
                return Event(
                    rpc,
                    step,
                    code=outcome["code"] % 17,
                    cause=outcome["cause"] % CAUSES,
                    elapsed=abs(outcome["elapsed"]),
                    tapes=tapes,
                )
            case Step.REQUEST:
                base = var(f"{call} request bytes", Sort.TEXT)
                fields, size = self.fields("request", base), self.size(base)
                headers = self.headers(f"{rpc} request headers")
                return Event(rpc, step, fields, size, headers, self.text(f"{rpc} peer"), tapes=tapes)
            case Step.RESPONSE:
                base = var(f"{rpc} reply bytes", Sort.TEXT)
                headers = self.headers(f"{rpc} reply headers")
                return Event(rpc, step, self.fields("reply", base), self.size(base), headers, tapes=tapes)

    def fields(self, root: str, base: Term) -> dict[str, object]:
        """The fields of a message that the question is about; for a sub-message a dict."""
        return self._fields(REQUEST if root == "request" else REPLY, root, base)

    def _fields(self, message: str, path: str, base: Term) -> dict[str, object]:
        found: dict[str, object] = {}
        types = self._types.get(message, {})
        for f in self.trial.service.messages[message].fields:
            name = f"{path}.{f.name}"
            if f.kind.nested and f.presence is Presence.EXPLICIT:
                if any(known.startswith((f"{name}.", f"{name}?")) for known in self.asked):
                    inner = self._fields(f.message, name, base)
                    if self._there(name, base, bool(inner)):
                        found[f.name] = inner
            elif f.name in types and any(t.args and t.args[0] is base for t in self._named(name)):
                found[f.name] = self.python(types[f.name], name, (base,))
        return found

    def _there(self, name: str, base: Term, otherwise: bool) -> bool:
        there = function(f"{name}?", Sort.BOOL, (base,))
        return bool(self.value(there)) if there in self.asked.get(f"{name}?", ()) else otherwise

    def _named(self, name: str) -> list[Term]:
        return [t for known, terms in self.asked.items() if known in (name, name + "?") for t in terms]

    @cached_property
    def _types(self) -> Mapping[str, dict[str, Type]]:
        """The types by message and field, as in the elements' views."""
        found: dict[str, dict[str, Type]] = {}
        for element in self.chain.elements.values():
            views = {v.name: v for v in element.program.views}
            for handler in element.program.handlers:
                arguments = getattr(handler.params[0].type, "arguments", ()) if handler.params else ()
                for argument, message in zip(arguments, (REQUEST, REPLY), strict=False):
                    self._see(views, argument, message, found, frozenset())
        return found

    def _see(
        self,
        views: Mapping[str, View],
        t: Type,
        message: str,
        found: dict[str, dict[str, Type]],
        seen: frozenset[str],
    ) -> None:
        view = views.get(t.name) if isinstance(t, ViewType) else None
        if view is None or view.name in seen or message not in self.trial.service.messages:
            return
        fields = {f.name: f for f in self.trial.service.messages[message].fields}
        for m in view.members:
            found.setdefault(message, {})[m.name] = m.type
            inner = m.type.item if isinstance(m.type, OptionType) else m.type
            self._see(views, inner, fields[m.name].message, found, seen | {view.name})

    def size(self, base: Term) -> int:
        for term in self._all:
            if term.op is Op.LENGTH and term.args[0] is base:
                return min(int(self.value(term)), 1 << 20)
        return 0

    @cached_property
    def _all(self) -> list[Term]:
        return list(self.model.translation.terms())

    def headers(self, side: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for term in self.asked.get(f"{side}[]", ()):
            if self.value(term):
                key = self.text_of(self.value(term.args[0]))
                found[key] = self.text_of(self.value(function(side, Sort.TEXT, term.args)))
        return found

    @cached_property
    def messages(self) -> Mapping[bytes, bytes]:
        """For bytes that the model takes for a message: a message with those fields."""
        found: dict[bytes, bytes] = {}
        for root, message in (("reply", REPLY), ("request", REQUEST)):
            bases = [
                term.args[0]
                for known, terms in self.asked.items()
                if known.startswith(f"{root}.")
                for term in terms
                if len(term.args) == 1 and term.args[0].sort is Sort.TEXT
            ]
            for base in dict.fromkeys(bases):
                value = self.value(base)
                assert isinstance(value, bytes), "a message is bytes"
                if value not in found:
                    data = self.trial.encode(message, self.fields(root, base))
                    # Two messages with the same fields stay different.
                    found[value] = self.trial.encode(
                        message, self.fields(root, base), len(data) + 4 + len(found)
                    )
        return found


def _parsed(value: Any) -> Any:
    """An entry whose bytes can be read as a message, since they may be sent as one."""
    match value:
        case Record():
            fields = struct_fields(value)
            return Record(struct_name(value), {k: _parsed(v) for k, v in fields.items()})
        case bytes() if value.startswith(ABSTRACT):
            return filler(len(value) + 3)
        case _:
            return value
