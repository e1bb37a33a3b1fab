# SPDX-License-Identifier: Apache-2.0
"""Messages of any service that policies fit.  Only a service tells which fields belong to one oneof, and how wide
numbers are; so the first is an unknown of each question, and what a field makes of a number is an unknown function.

At most one member of a oneof is present, and assigning one removes the others.  R015 lets a policy assign such a member
only if its view gives all of them as `T | None`, so only such fields can belong to a oneof.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import combinations
from typing import Any

from transect.analysis import fold
from transect.analysis.concrete import Reader
from transect.analysis.state import Held, Path
from transect.analysis.terms import TRUE, Sort, Term, var
from transect.analysis.values import Option, Unsupported, Value, View
from transect.analysis.views import Outside
from transect.analysis.world import World
from transect.core.effects import Effects, Touch
from transect.core.ir import IntrinsicDecl, Program, ViewMember
from transect.core.types import DictType, OptionType, SeqType, TextType, Type, ViewType
from transect.rpc.chain.needs import is_rpc
from transect.rpc.equivalence.metadata import OF_HEADERS, Metadata, any_metadata, asked
from transect.rpc.equivalence.widths import as_held, keeps

ROOTS = ("msg", "reply")
METADATA = ("headers", "trailers")  # of `rpc`


class AnyService(World):
    """One call of a hook, in one policy or in two versions of one."""

    def __init__(self, hook: str, programs: Sequence[Program]) -> None:
        super().__init__(hook)
        self.hook = hook
        self.programs = programs
        self.members = cache(self._members)
        self._met: set[str] = set()  # messages in which a field was assigned that may belong to a oneof
        self._held: dict[Term, Term] = {}  # what fields make of a number, if that may differ from it

    # ------------------------------------------------------------ the fields of a message

    def _members(self, message: str) -> Mapping[str, Type]:
        """The fields that the views of a message have: `rpc.msg`, `rpc.msg.buyer`."""
        _, *way = message.split(".")
        found: dict[str, Type] = {}
        for program in self.programs:
            for member in _view(program, self.hook, way):
                known = found.setdefault(member.name, member.type)
                if isinstance(known, OptionType) != isinstance(member.type, OptionType):
                    raise Unsupported(
                        f"one version reads `{member.name}` as absent, the other as its default"
                    )
        return found

    def _rivals(self, message: str) -> list[str]:
        """Fields that may belong to a oneof."""
        return sorted(n for n, t in self.members(message).items() if isinstance(t, OptionType))

    def together(self, message: str, a: str, b: str) -> Term:
        """Whether two fields of a message belong to one oneof."""
        return var(together(message, a, b), Sort.BOOL)

    # ------------------------------------------------------------ metadata

    def first(self, path: str) -> Held:
        _, _, name = path.partition(".")
        return any_metadata(path) if name in METADATA else super().first(path)

    def call(self, path: Path, declared: IntrinsicDecl, args: list[Value]) -> Value:
        if self.has_method(declared):
            return asked(self, path, declared, args)
        return super().call(path, declared, args)

    def has_method(self, declared: IntrinsicDecl) -> bool:
        return declared.name.startswith(OF_HEADERS)

    # ------------------------------------------------------------ assigning

    def write(self, path: Path, view: View, name: str, t: Type, value: Value) -> None:
        there = value.present if isinstance(value, Option) else TRUE
        self._enter(path, view.path, there)
        place = self.place(view, name)

        def note(found: Term, given: Term) -> None:
            self._held[found] = given
            self._keep(place, found)

        super().write(path, view, name, t, as_held(place, value, note))
        self._end_rivals(path, view.path, name, there)

    def read(self, path: Path, view: View, name: str, t: Type) -> Value:
        found = super().read(path, view, name, t)
        if view.path.split(".")[1:2] in (["msg"], ["reply"]):
            self._keep(self.place(view, name), found)
        return found

    def _keep(self, place: str, held: Value) -> None:
        for fact in keeps(place, held):
            self.assume(fact)

    def _enter(self, path: Path, message: str, there: Term) -> None:
        """Make an absent sub-message exist, since one of its fields is assigned."""
        outer, _, name = message.rpartition(".")
        if outer.count(".") == 0:
            return
        self._enter(path, outer, there)
        path.outside[f"{message}?"] = fold.either(self.there(path, message), there)
        self._end_rivals(path, outer, name, there)

    def _end_rivals(self, path: Path, message: str, name: str, there: Term) -> None:
        rivals = self._rivals(message)
        if name not in rivals:
            return
        self._meet(message, rivals)
        for rival in rivals:
            if rival == name:
                continue
            ends = fold.both(there, self.together(message, name, rival))
            place = f"{message}.{rival}"
            if self._is_message(message, rival):
                path.outside[f"{place}?"] = fold.both(self.there(path, place), fold.negate(ends))
                continue
            self.types[place] = self.members(message)[rival]
            held = path.outside.get(place) or self.first(place)
            assert isinstance(held, Option), f"{place} may be absent"
            path.outside[place] = Option(fold.both(held.present, fold.negate(ends)), held.value)

    def _is_message(self, message: str, name: str) -> bool:
        t = self.members(message)[name]
        return isinstance(t, OptionType) and isinstance(t.item, ViewType)

    def _meet(self, message: str, rivals: Sequence[str]) -> None:
        """What holds for the oneofs of any message: at most one member came, and belonging to one is transitive."""
        if message in self._met:
            return
        self._met.add(message)
        came = {name: var(f"{message}.{name}?", Sort.BOOL) for name in rivals}
        for a, b in combinations(rivals, 2):
            self.assume(fold.negate(fold.both(self.together(message, a, b), came[a], came[b])))
        for names in combinations(rivals, 3):
            pairs = [self.together(message, a, b) for a, b in combinations(names, 2)]
            for one in pairs:
                self.assume(fold.implies(fold.both(*(p for p in pairs if p is not one)), one))

    # ------------------------------------------------------------ what values do not show

    def unseen(self, old: Effects, new: Effects) -> Iterator[str]:
        """Differences without a different value: a written field is present, and a field that is read must be
        well-formed.
        """
        for (one, other), whose in (((old, new), "old"), ((new, old), "new")):
            for name in sorted(_names(one.view_writes) - _names(other.view_writes)):
                only = f"only the {whose} version assigns `{name}`"
                yield f"{only}: an absent field is there then, also where its value is the same"
            for name in sorted(_names(one.view_reads, self._is_checked) - _names(other.view_reads)):
                yield f"only the {whose} version reads `{name}`: it refuses a message in which that is malformed"

    def _is_checked(self, touch: Touch) -> bool:
        """Whether the bytes that came may be invalid for the field's type: no UTF-8, or no message."""
        members = (m for p in self.programs for v in p.views if v.name == touch.view for m in v.members)
        types = (m.type for m in members if m.name == touch.field)
        inner = (t.item if isinstance(t, OptionType) else t for t in types)
        return any(isinstance(t, TextType | ViewType | SeqType | DictType) for t in inner)

    # ------------------------------------------------------------ models

    def unsure(self) -> str:
        places = sorted({str(held.data).removesuffix(" holds") for held in self._held})
        names = ", ".join(f"`{place}`" for place in places)
        return f"; what {names} holds of a number depends on how wide the service has it" if names else ""

    def likely(self) -> Sequence[Sequence[Term]]:
        wide = [fold.equal(held, value) for held, value in self._held.items()]
        alone = [
            fold.negate(self.together(message, a, b))
            for message in sorted(self._met)
            for a, b in combinations(self._rivals(message), 2)
        ]
        return ([*wide, *alone], wide) if alone else (wide,)

    def outside(self, reader: Reader, program: Program, view: ViewType, path: str) -> Outside:
        return AnyMessage(self, reader, program, view, path)

    def told(self, reader: Reader) -> Mapping[str, str]:
        found = {}
        for message in sorted(self._met):
            for name in self._rivals(message):
                others = [
                    o for o in self._rivals(message) if o != name and self.ends(reader, message, name, o)
                ]
                if others and all(name < o for o in others):
                    found[f"a oneof of {message}"] = ", ".join([name, *others])
        return found

    def ends(self, reader: Reader, message: str, a: str, b: str) -> bool:
        """Whether two fields belong to one oneof in the model."""
        return together(message, a, b) in reader.asked and bool(reader.value(self.together(message, a, b)))


def _names(touches: Iterable[Touch], such: Callable[[Touch], bool] = lambda _: True) -> set[str]:
    """The fields by the path from the call: `msg.user`."""
    return {".".join((touch.path or ("", touch.view, touch.field))[1:]) for touch in touches if such(touch)}


class AnyMessage(Outside):
    """A message, or `rpc` itself, for the interpreter, with the oneofs of the model."""

    def __init__(
        self,
        world: AnyService,
        reader: Reader,
        program: Program,
        view: ViewType,
        path: str,
        outer: AnyMessage | None = None,
    ) -> None:
        super().__init__(reader, program, view, path)
        self.__dict__["_in"] = (world, outer)

    def inner(self, view: ViewType, path: str) -> Any:
        reader, program, _, _ = self.__dict__["_of"]
        if path.partition(".")[2] in METADATA:
            return Metadata(reader, path)
        return AnyMessage(self.__dict__["_in"][0], reader, program, view, path, self)

    def __setattr__(self, name: str, value: Any) -> None:
        world, outer = self.__dict__["_in"]
        reader, _, _, path = self.__dict__["_of"]
        if value is not None:
            if outer is not None and path.count(".") > 1:
                setattr(outer, path.rpartition(".")[2], self)
            for rival in world.members(path):
                if rival != name and world.ends(reader, path, name, rival):
                    self.__dict__[rival] = None
        self.__dict__[name] = value


def together(message: str, a: str, b: str) -> str:
    """The name of the unknown that says whether two fields are of one oneof."""
    first, second = sorted((a, b))
    return f"one oneof: {message} {first} {second}"


def _view(program: Program, hook: str, way: Sequence[str]) -> tuple[ViewMember, ...]:
    """The fields of a view class, by the path from `rpc`."""
    handler = program.handler(hook)
    rpc = handler.params[0].type if handler and handler.params else None
    if not isinstance(rpc, ViewType) or not is_rpc(rpc) or not way or way[0] not in ROOTS:
        return ()
    known = {v.name: v for v in program.views}
    here: Type = dict(zip(ROOTS, rpc.arguments, strict=False)).get(way[0], rpc)
    for name in way[1:]:
        view = known.get(here.name) if isinstance(here, ViewType) else None
        member = view.member(name) if view else None
        if member is None:
            return ()
        here = member.type.item if isinstance(member.type, OptionType) else member.type
    view = known.get(here.name) if isinstance(here, ViewType) and here is not rpc else None
    return view.members if view else ()
