# SPDX-License-Identifier: Apache-2.0
"""Outside data and outside facts while a handler is evaluated: what a stratum says about its views and intrinsics.

This base treats every field of a view as an unknown value that keeps what is written to it, every answer from outside
as an unknown function of the question, and every write to the outside as a message.  A stratum refines it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from transect.analysis import fold
from transect.analysis.concrete import Reader
from transect.analysis.state import Held, Path, Said, Table, unknown
from transect.analysis.terms import TRUE, Op, Sort, Term, function, integer, number, var
from transect.analysis.values import Option, Unsupported, Value, View, build, leaves, made
from transect.analysis.views import Handle, Outside
from transect.base.span import Span
from transect.core import ir
from transect.core.effects import Effects
from transect.core.ir import Effect, FieldKind
from transect.core.types import BoolType, DictType, OptionType, SeqType, Type, ViewType


class World:
    """One per call of a handler.  `tape` names the call: answers of one tape are the same wherever it is used."""

    def __init__(self, tape: str = "tape", assumptions: set[Term] | None = None) -> None:
        self.tape = tape
        self.assumptions: set[Term] = set() if assumptions is None else assumptions
        self.types: dict[str, Type] = {}  # of outside data, by path
        self.unfollowed: dict[
            Span, str
        ] = {}  # parts of a policy whose values are taken for unknown, in words

    def assume(self, term: Term) -> None:
        """Assume that this holds for the inputs."""
        if term is not TRUE:
            self.assumptions.add(term)

    def unseen(self, old: Effects, new: Effects) -> Iterator[str]:
        """How two versions of a hook may differ although all values are alike, in words."""
        return iter(())

    # ------------------------------------------------------------ models

    def likely(self) -> Sequence[Sequence[Term]]:
        """Conditions that make a counter-example clearer, tried from the strictest to the weakest."""
        return ((),)

    def outside(self, reader: Reader, program: ir.Program, view: ViewType, path: str) -> Outside:
        """A view for the interpreter, as a model has it."""
        return Outside(reader, program, view, path)

    def kept(self, reader: Reader, program: ir.Program, name: str) -> Mapping[str, object]:
        """What the `given()` fields of a state that goes by this name hold, for the interpreter."""
        found: dict[str, object] = {}
        for f in program.state:
            if f.kind is FieldKind.GIVEN:
                whole = var(f"{name}.{f.name}", Sort.OPAQUE)
                found[f.name] = (
                    reader.members(f.type, whole)
                    if isinstance(f.type, SeqType)
                    else Handle(whole, f"self.{f.name}")
                )
        return found

    def unsure(self) -> str:
        """The possible reasons for a missing answer, in words."""
        return ""

    def told(self, reader: Reader) -> Mapping[str, str]:
        """What a model says of outside data besides its content, for people."""
        return {}

    # ------------------------------------------------------------ views

    def place(self, view: View, name: str) -> str:
        """Where a view's field is kept."""
        return f"{view.path}.{name}"

    def first(self, path: str) -> Held:
        """What a piece of outside data was when nobody had written it."""
        t = self.types[path]
        if isinstance(t, DictType):
            return Table(path, t.key, t.value)
        return unknown(path, t, self.assume)

    def given(self) -> Mapping[str, Held]:
        """What outside data this call was given, by place, where it is not the same in every call of one tape."""
        return {}

    def read(self, path: Path, view: View, name: str, t: Type) -> Value:
        """A view's field."""
        place = self.place(view, name)
        match t:
            case ViewType():
                return View(place)
            case OptionType(item=ViewType()):
                return Option(self.there(path, place), View(place))
            case SeqType():
                return var(place, Sort.OPAQUE)
            case DictType():
                self.types[place] = t
                return View(place)
        self.types[place] = t
        held = path.outside.get(place)
        if held is None:
            held = self.first(place)
        assert not isinstance(held, Table), f"{place} is one value"
        return held

    def there(self, path: Path, place: str) -> Term:
        """Whether a view that may be absent is there."""
        self.types[f"{place}?"] = BoolType()
        held = path.outside.get(f"{place}?") or self.first(f"{place}?")
        assert isinstance(held, Term), "a truth value"
        return held

    def write(self, path: Path, view: View, name: str, t: Type, value: Value) -> None:
        """Assign a view's field."""
        place = self.place(view, name)
        self.types[place] = t
        path.outside[place] = made(t, value)

    def map(self, path: Path, view: View) -> Table:
        """A map of outside data."""
        held = path.outside.get(view.path)
        if held is None:
            held = self.first(view.path)
        assert isinstance(held, Table), f"{view.path} is a map"
        return held

    # ------------------------------------------------------------ the tape

    def now(self) -> Term:
        return var(f"{self.tape} now", Sort.INT)

    def rand(self, path: Path) -> Term:
        """A draw as a number in [0, 1)."""
        drawn = function(f"{self.tape} rand", Sort.FLOAT, (self._next(path),))
        self.assume(fold.negate(fold.float_less(drawn, number(0.0))))
        self.assume(fold.float_less(drawn, number(1.0)))
        return drawn

    def rand_below(self, path: Path, n: Term) -> Term:
        """A draw modulo n; 0 when n ≤ 0."""
        drawn = function(f"{self.tape} draw", Sort.INT, (self._next(path),))
        some = fold.arithmetic(Op.MOD_U, drawn, n)
        self.assume(fold.implies(fold.less(integer(0), n), fold.less(some, n, signed=False)))
        return fold.ite(fold.less(integer(0), n), some, integer(0))

    def _next(self, path: Path) -> Term:
        index = path.draws
        path.draws = fold.arithmetic(Op.ADD, index, integer(1))
        return index

    # ------------------------------------------------------------ what the stratum's functions do

    def call(self, path: Path, declared: ir.IntrinsicDecl, args: list[Value]) -> Value:
        """A function of the stratum."""
        terms = tuple(term for arg in args for term in _terms(arg))
        match declared.effect:
            case Effect.PURE:
                return unknown(declared.name, declared.returns, self.assume, terms)
            case Effect.CLOCK | Effect.RANDOM | Effect.OUTSIDE_READ:
                if self.changes(declared):
                    self.say(path, declared.name, terms)
                index = self._next(path)
                name = f"{self.tape} {declared.name}"
                of = terms if self.fixed(declared) else (index, *terms)
                return unknown(name, declared.returns, self.assume, of)
            case Effect.REPORT | Effect.OUTSIDE_WRITE:
                self.say(path, declared.name, terms)
                return build(declared.returns, lambda place, t, sort: var(f"{self.tape}{place}", sort))

    def changes(self, declared: ir.IntrinsicDecl) -> bool:
        """Whether a call of that function may change outside data, so that the call itself is an action."""
        return declared.effect is Effect.OUTSIDE_READ

    def fixed(self, declared: ir.IntrinsicDecl) -> bool:
        """Whether the function gives the same answer throughout a call."""
        return False

    def has_method(self, declared: ir.IntrinsicDecl) -> bool:
        """Whether views for the interpreter (`outside`) have the function as a method."""
        return False

    def say(self, path: Path, name: str, terms: tuple[Term, ...]) -> None:
        path.said = (*path.said, Said(TRUE, name, terms))


def _terms(value: Value) -> list[Term]:
    if isinstance(value, View):
        return [var(value.path, Sort.OPAQUE)]
    try:
        return [term for _, term in leaves(value)]
    except Unsupported as why:
        raise Unsupported("a function of outside data or of a set") from why
