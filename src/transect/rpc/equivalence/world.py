# SPDX-License-Identifier: Apache-2.0
"""What the views of an rpc policy read while it is evaluated: messages on their way, metadata, what earlier hooks kept.

A message is the bytes that came and the fields that were assigned since.  A field which nobody assigned is an unknown
function of the bytes; the bytes after an assignment are an unknown function of the bytes before and of the fields, so
a policy that looks at `rpc.body` sees every change of the message.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from transect.analysis import fold
from transect.analysis.state import Held, Path, Table, restricted, same_held
from transect.analysis.terms import FALSE, TRUE, Sort, Term, function, integer, var
from transect.analysis.values import Option, Unsupported, Value, View, build, leaves
from transect.analysis.world import World
from transect.core import ir
from transect.core.types import DictType, OptionType, SeqType, Type, ViewType
from transect.rpc.equivalence.metadata import OF_HEADERS, any_metadata, asked
from transect.rpc.equivalence.widths import as_held, keeps
from transect.rpc.functions.chacha import KEY_BYTES

REWRITTEN = "rewritten "
"""The name of the unknown function that gives a message's bytes after fields were assigned; their names follow."""


Oneofs = Sequence[Collection[str]] | None
"""The members of each oneof of the messages, by name; None: no service is known, so any field may be in one."""


@dataclass(frozen=True)
class Body:
    """A message."""

    root: str  # the beginning of its unknown fields' names: `request`, `reply`
    base: Term  # the bytes from which the fields are that nobody assigned
    bytes: Term  # as it is passed on
    fields: Mapping[str, Held] = field(default_factory=dict)  # what was assigned, by path: `user`
    types: Mapping[str, Type] = field(default_factory=dict)  # of every field that was met

    def read(self, path: str, t: Type, world: World) -> Held:
        return self.fields[path] if path in self.fields else self.first(path, t, world)

    def first(self, path: str, t: Type, world: World) -> Held:
        """A field as it came."""
        name = f"{self.root}.{path}"
        if isinstance(t, DictType):
            return Table(f"{name} of {self.base.serial}", t.key, t.value)

        def leaf(within: str, leaf_type: Type, sort: Sort) -> Term:
            return restricted(leaf_type, function(name + within, sort, (self.base,)), world.assume)

        return build(t, leaf)

    def same(self, other: Body, world: World) -> Term:
        """Whether both are the same message, field by field, with the same unknown fields."""
        parts = [fold.equal(self.base, other.base)]
        for path in sorted({*self.fields, *other.fields}):
            t = self.types.get(path) or other.types[path]
            a, b = self.read(path, t, world), other.read(path, t, world)
            parts.append(same_held(a, b))
        return fold.both(*parts)


def came(root: str, name: str) -> Body:
    """Any message."""
    data = var(f"{name} bytes", Sort.TEXT)
    return Body(root, data, data)


@dataclass
class Passing:
    """What passes by an element in one hook."""

    rpc: str  # r1
    request: Body
    reply: Body
    headers: dict[str, Table]  # by one of SIDES


SIDES = ("request headers", "reply headers", "reply trailers")


def metadata(rpc: str) -> dict[str, Table]:
    """Any metadata."""
    return {side: any_metadata(f"{rpc} {side}") for side in SIDES}


class ChainWorld(World):
    """One call of one hook."""

    def __init__(
        self,
        element: str,
        hook: str,
        call: str,
        passing: Passing,
        assumptions: set[Term],
        oneofs: Oneofs = None,
    ) -> None:
        super().__init__(f"{element} {call} {hook}", assumptions)
        self.oneofs = oneofs
        self.hook = hook
        self.call_name = call
        self.passing = passing
        self._fields: dict[str, dict[str, Held]] = {"request": {}, "reply": {}}

    # ------------------------------------------------------------ where fields are

    def place(self, view: View, name: str) -> str:
        if view.path != "rpc":
            return f"{view.path}.{name}"
        match name:
            case "msg":
                return "request"
            case "reply":
                return "reply"
            case "headers":
                return "request headers" if self.hook == "request" else "reply headers"
            case "trailers":
                return "reply trailers"
            case _:
                return name

    def body_of(self, path: str) -> tuple[Body, str] | None:
        root, dot, rest = path.partition(".")
        if dot and root in ("request", "reply"):
            return (self.passing.request if root == "request" else self.passing.reply), rest
        return None

    def first(self, path: str) -> Held:
        if path.endswith("@dirty"):
            return FALSE
        if path in self.passing.headers:
            return self.passing.headers[path]
        found = self.body_of(path)
        if found is not None:
            body, rest = found
            return body.read(rest, self.types[path], self)
        return super().first(path)

    def given(self) -> Mapping[str, Held]:
        """Messages and metadata as the elements before have left them."""
        found: dict[str, Held] = dict(self.passing.headers)
        for root, body in (("request", self.passing.request), ("reply", self.passing.reply)):
            found |= {f"{root} base": body.base, f"{root} bytes": body.bytes}
            found |= {f"{root}.{name}": held for name, held in body.fields.items()}
        return found

    # ------------------------------------------------------------ views

    def read(self, path: Path, view: View, name: str, t: Type) -> Value:
        if view.path == "rpc" and name in ("body", "reply_body"):
            return (self.passing.request if name == "body" else self.passing.reply).bytes
        if view.path == "rpc" and name in ("method", "peer"):
            return var(f"{self.passing.rpc} {name}", Sort.TEXT)
        if view.path == "outcome":
            self.types[f"{self.call_name} {name}"] = t
            return _known(super().first(f"{self.call_name} {name}"))
        place = self.place(view, name)
        found = self.body_of(place)
        if found is None:
            return super().read(path, view, name, t)
        body, rest = found
        match t:
            case ViewType() | DictType():
                self.types[place] = t
                return View(place)
            case SeqType():
                return function(f"{body.root}.{rest}", Sort.OPAQUE, (body.base,))
        self._alone(path, place, body, t)
        if isinstance(t, OptionType) and isinstance(t.item, ViewType):
            return Option(self.there(path, place), View(place))
        self.types[place] = t
        held = _known(path.outside.get(place) or body.read(rest, t, self))
        _seen_alike(rest, held, t)
        self._keep(place, held)
        return held

    def _keep(self, place: str, held: Value) -> None:
        for fact in keeps(place, held):
            self.assume(fact)

    def write(self, path: Path, view: View, name: str, t: Type, value: Value) -> None:
        place = self.place(view, name)
        found = self.body_of(place)
        if found is None:
            raise Unsupported(f"`{name}` of {view.path} is assigned")
        if "." in found[1]:
            raise Unsupported("a field of a sub-message is assigned")
        self._alone(path, place, found[0], t)
        _seen_alike(found[1], found[0].fields.get(found[1], value), t)
        held = as_held(place, value, lambda found, _: self._keep(place, found))
        super().write(path, view, name, t, held)
        path.outside[place.partition(".")[0] + "@dirty"] = TRUE

    def _alone(self, path: Path, place: str, body: Body, t: Type) -> None:
        """Assigning a member of a oneof ends the others, and only a service tells which fields are in one.

        Within one element, the fields that may be in one are `T | None` (R015); another may read them as `T`.
        """
        root, _, rest = place.partition(".")
        assigned = _with_presence(body.fields)
        if isinstance(t, OptionType):
            mine = {of: held for of, held in path.outside.items() if of.startswith(f"{root}.")}
            assigned |= {of.partition(".")[2] for of in _with_presence(mine)}
        used, _, _ = rest.partition(".")
        if any(self._may_be_one(used, other) for other in assigned - {used}):
            raise Unsupported(
                "one field with presence is assigned and another is used: they may be of one oneof"
            )

    def _may_be_one(self, a: str, b: str) -> bool:
        return self.oneofs is None or any(a in one and b in one for one in self.oneofs)

    def call(self, path: Path, declared: ir.IntrinsicDecl, args: list[Value]) -> Value:
        match declared.name.rpartition(".")[2], args:
            case _ if declared.name.startswith(OF_HEADERS):
                return asked(self, path, declared, args)
            case "seal_text" | "unseal_text", [_, Term() as key, *_]:
                return self._keyed(super().call(path, declared, args), key, declared)
            case _:
                return super().call(path, declared, args)

    def _keyed(self, found: Value, key: Term, declared: ir.IntrinsicDecl) -> Value:
        """Sealing fails only if the key has the wrong length; then unsealing fails, too."""
        assert isinstance(found, Option), f"{declared.name} may fail"
        there = fold.equal(fold.length(key), integer(KEY_BYTES))
        if declared.name.endswith("unseal_text"):
            return Option(fold.both(there, found.present), found.value)
        return Option(there, found.value)

    # ------------------------------------------------------------ afterwards

    def passed(self, path: Path) -> Passing:
        """What is passed on after the hook has run."""
        headers = {side: self._table(path, side) for side in self.passing.headers}
        return Passing(
            self.passing.rpc,
            self._after(path, "request", self.passing.request),
            self._after(path, "reply", self.passing.reply),
            headers,
        )

    def _table(self, path: Path, side: str) -> Table:
        held = path.outside.get(side) or self.passing.headers[side]
        assert isinstance(held, Table), f"{side} is a map"
        return held

    def _after(self, path: Path, root: str, body: Body) -> Body:
        types = {p.partition(".")[2]: t for p, t in self.types.items() if p.startswith(f"{root}.")}
        types = {**body.types, **types}
        dirty = path.outside.get(f"{root}@dirty", FALSE)
        if dirty is FALSE:
            return replace(body, types=types)
        assert isinstance(dirty, Term), "a truth value"
        mine = {p.partition(".")[2]: v for p, v in path.outside.items() if p.startswith(f"{root}.")}
        fields = {**body.fields, **mine}
        terms = [t for name in sorted(fields) for t in _leaves_of(fields[name])]
        written = function(f"{REWRITTEN}{' '.join(sorted(fields))}", Sort.TEXT, (body.bytes, *terms))
        return replace(body, bytes=fold.ite(dirty, written, body.bytes), fields=fields, types=types)


def _seen_alike(name: str, held: Value | Held, t: Type) -> None:
    if isinstance(held, Option) != isinstance(t, OptionType):
        raise Unsupported(f"`{name}` is `T` to one element and `T | None` to another, and is assigned")


def _with_presence(fields: Mapping[str, Held]) -> set[str]:
    """Assigned fields that may be absent."""
    return {name for name, held in fields.items() if isinstance(held, Option)}


def _leaves_of(held: Held) -> list[Term]:
    if isinstance(held, Table):
        raise Unsupported("a map field is assigned")
    return [t for _, t in leaves(held)]


def _known(held: Held) -> Value:
    assert not isinstance(held, Table), "one value"
    return held
