# SPDX-License-Identifier: Apache-2.0
"""Handlers of a policy over any state and any set of waiting clients.

Which clients wait is unknown, and so is their number.  The least counter among them is one unknown number, `LEAST`;
anything else that a policy computes from `waiting` is an unknown member, or an unknown function of what it reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from transect.analysis import fold
from transect.analysis.evaluate import Evaluator, start
from transect.analysis.solve import FIRST, LIMIT, Answer, Asking, Question
from transect.analysis.state import Assume, End, Path, Result, Table, Way, fresh_table, unknown
from transect.analysis.terms import FALSE, TRUE, Op, Sort, Term, function, integer, var
from transect.analysis.values import Option, Unsupported, Value, View, anything
from transect.analysis.world import World
from transect.core import ir
from transect.core.effects import Facts, bindings, nodes
from transect.core.ir import Program, ReduceOp
from transect.core.passes.ordered_pick import ARGMIN, MIN, ordered_pick
from transect.core.types import INT, KeyType, TableType
from transect.llm.lemma.failing import shown_state

LEAST = var("the least counter", Sort.INT)
WAITING, NOBODY = var("self.waiting", Sort.OPAQUE), var("nobody", Sort.OPAQUE)
SMALL = integer(1 << 31)  # tokens of a request
LARGE = integer(1 << 61)  # counters


def waits(client: Term, waiting: Term = WAITING) -> Term:
    return function("in", Sort.BOOL, (waiting, client))


def count(waiting: Term = WAITING) -> Term:
    return function("len", Sort.INT, (waiting,))


@dataclass(frozen=True, slots=True)
class Counters(Table):
    """The counters of the clients: at first within ± 2^61, since no tenant gets a trillion tokens."""

    def _first(self, key: Value, assume: Assume) -> tuple[Term, Value]:
        present, found = Table._first(self, key, assume)
        assert isinstance(found, Term), "a number"
        assume(fold.less(found, LARGE))
        assume(fold.less(fold.arithmetic(Op.SUB, integer(0), LARGE), found))
        return present, found


class Handlers(Evaluator):
    """The handlers of one policy, which orders clients by the tally `counter` ("": by none)."""

    def __init__(self, program: Program, counter: str) -> None:
        world = World()
        super().__init__(ordered_pick(program), world)
        self.counter = counter
        self.before = start(self.program, "self", world)
        for name, held in self.before.fields.items():
            if isinstance(held, Table) and isinstance(
                held.key, KeyType
            ):  # lives in the client's record: never full
                kept = {f.name: getattr(held, f.name) for f in fields(held)} | {"capacity": None}
                self.before.fields[name] = Counters(**kept) if name == counter else Table(**kept)
        world.assume(fold.at_most(integer(0), count()))
        world.assume(fold.equal(count(NOBODY), integer(0)))

    def fresh(self, path: Path | None = None) -> Path:
        """Any state, or that of `path`, with a call about to begin."""
        return (self.before if path is None else path).copy()

    def with_nobody_waiting(self, path: Path | None = None) -> Path:
        found = self.fresh(path)
        found.fields["waiting"] = NOBODY
        return found

    def run(self, hook: str, args: Sequence[Value], path: Path) -> Result:
        """The result of one call; a hook that the policy does not define does nothing."""
        handler = self.program.handler(hook)
        if handler is None or handler.default:
            return Result(None, path)
        found = self.handler(hook, args, path)
        return found

    def defines(self, hook: str) -> bool:
        handler = self.program.handler(hook)
        return handler is not None and not handler.default

    def of(self, client: Term, path: Path, tally: str | None = None) -> Term:
        """The client's counter, or its entry in another tally."""
        table = path.fields[tally or self.counter]
        assert isinstance(table, Table), "a tally"
        found = table.total(client, anything(table.value), self.world.assume)
        assert isinstance(found, Term), "a number"
        return found

    def raised(self, client: Term, more: Term, path: Path) -> Table:
        """The counters after the client's has grown."""
        table = path.fields[self.counter]
        assert isinstance(table, Table), "a tally"
        grown = fold.arithmetic(Op.ADD, self.of(client, path), more)
        return table.put(client, grown, self.world.assume)[1]

    # ------------------------------------------------------------ what is asked of `waiting`

    def intrinsic(self, name: str, t: object, exprs: Sequence[ir.Expr], path: Path) -> Value:
        if name not in (ARGMIN, MIN):
            found: Value = super().intrinsic(name, t, exprs, path)  # type: ignore[arg-type]
            return found
        (asked,) = exprs
        assert isinstance(asked, ir.Const), "the tally's name"
        tally = str(asked.value)
        touched = path.fields[tally] != self.before.fields[tally] or path.fields["waiting"] is not WAITING
        if tally != self.counter or touched:
            return self._somebody(f"by {tally}") if name == ARGMIN else var(f"the least {tally}", Sort.INT)
        if name == MIN:
            return LEAST
        chosen = self._somebody("chosen")
        self.world.assume(fold.equal(self.of(chosen, self.before), LEAST))
        return chosen

    def _somebody(self, how: str) -> Term:
        """One of the waiting clients, if there are any."""
        member = var(f"a member {how}", Sort.INT)
        self.world.assume(fold.implies(fold.less(integer(0), count()), waits(member)))
        return member

    def loop_value(self, e: ir.Reduce | ir.MakeSet, path: Path) -> Value:
        match e:
            case ir.Reduce(
                op=ReduceOp.ARGMIN | ReduceOp.ARGMAX,
                source=ir.OverValue(value=ir.State(field="waiting")),
                cond=cond,
                default=default,
            ):
                member = self._somebody(f"at {e.span.line}:{e.span.column}")
                if default is None:
                    return member
                there = TRUE if cond is None else var(f"one at {e.span.line}:{e.span.column}", Sort.BOOL)
                there = fold.both(there, fold.less(integer(0), count()))
                other = self.evaluate(default, path)
                assert isinstance(other, Term), "a client"
                return fold.ite(there, member, other)
            case _:
                return super().loop_value(e, path)

    def _loop(self, s: ir.For, path: Path) -> list[End]:
        locals_of = _chosen(s) if path.fields["waiting"] is WAITING else None
        begins = locals_of is not None and all(_is_empty(path.frame.get(name)) for name in locals_of)
        try:
            ends = super()._loop(s, path)
        except Unsupported:
            ends = self._forgotten(s, path)
        if locals_of is not None and begins:
            member = self._somebody(f"at {s.span.line}:{s.span.column}")
            for end in ends:
                end.path.frame[locals_of[0]] = Option(fold.less(integer(0), count()), member)
        return ends

    def _forgotten(self, s: ir.For, path: Path) -> list[End]:
        """A loop after which everything that it may have written is unknown."""
        if any(isinstance(node, ir.Return) for node in nodes((s,))):
            raise Unsupported("a long loop that returns")
        place = f"after {s.span.line}"
        for field in Facts(self.program).of((s,)).written_fields:
            declared, name = self.fields[field], f"{field} {place}"
            t = declared.type
            path.fields[field] = (
                fresh_table(name, t, self.world.assume)
                if isinstance(t, TableType)
                else unknown(name, t, self.world.assume)
            )
        for local in bindings((s,)):
            path.frame.pop(local, None)
        return [End(Way.ON, TRUE, path)]


def _is_empty(value: Value) -> bool:
    return isinstance(value, Option) and value.present is FALSE


def _chosen(s: ir.For) -> tuple[str, str] | None:
    """If this loop picks one of the waiting clients: the local that holds it afterwards, and the local with its best
    key; both are empty before the loop.

    A `min` with a key that is more than a look-up becomes such a loop.  In its first iteration the test holds, since
    there is no best key yet; and nothing else assigns the two.
    """
    match s:
        case ir.For(targets=(item,), source=ir.OverValue(value=ir.State(field="waiting")), body=body):
            pass
        case _:
            return None
    inner = list(nodes(body))
    if any(isinstance(node, ir.Break | ir.Continue | ir.Return | ir.LocalPlace) for node in inner):
        return None
    written = [node.name for node in inner if isinstance(node, ir.Let)]
    if written.count(item) or any(isinstance(node, ir.For | ir.MatchAny | ir.LetIn) for node in inner):
        return None
    for part in body:
        match part:
            case ir.If(
                cond=ir.Logic(
                    conjunction=False,
                    left=ir.Unary(op=ir.UnaryOp.NOT, operand=ir.IsSome(value=ir.Local(name=best))),
                ),
                then=(
                    ir.Let(name=kept, value=ir.Some()),
                    ir.Let(name=chosen, value=ir.Some(value=ir.Local(name=member))),
                ),
                orelse=(),
            ) if kept == best and member == item and written.count(best) == written.count(chosen) == 1:
                return chosen, kept
            case _:
                pass
    return None


def always(
    handlers: Handlers, claim: Term, *given: Term, limit: float = LIMIT, asking: Asking = FIRST
) -> str:
    """Empty when the claim holds wherever `given` does; else why it is not known to."""
    question = [*given, fold.negate(claim)]
    if claim is TRUE:
        return ""
    why, failing = "", ""
    for exact in (False, True):
        found = Question(question, handlers.world.assumptions, exact, exact, limit, asking, plain=False).ask()
        if found.answer is Answer.NEVER:
            return ""
        if found.answer is Answer.UNKNOWN:
            why = f"the solver gave up ({found.why})"
        elif exact:
            failing = shown_state(question, handlers.world.assumptions, limit, found)
    if why:
        return why
    return f"no run that breaks it was found; the step fails from this state, which a run may not reach: {failing}"


def client(name: str) -> Term:
    """An arbitrary client."""
    found = unknown(name, KeyType("Client"))
    assert isinstance(found, Term), "a key"
    return found


def request_of(handlers: Handlers, path: Path, field: str, view: str = "request") -> Term:
    """A field of the request that a hook is called with."""
    found = handlers.world.read(path, View(view), field, KeyType("Client") if field == "client" else INT)
    assert isinstance(found, Term), "a number"
    return found


__all__ = [
    "LARGE",
    "LEAST",
    "SMALL",
    "Handlers",
    "Unsupported",
    "always",
    "client",
    "count",
    "request_of",
    "waits",
]
