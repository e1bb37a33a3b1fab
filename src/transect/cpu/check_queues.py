# SPDX-License-Identifier: Apache-2.0
"""No task is lost, and none is queued twice: what Enoki's `Schedulable` token checks at run time is proved here when
compiling.

Each path through `enqueue` puts the task exactly once, every path through `select` at most once, no other hook puts
one, and `dispatch` takes from each queue into which tasks are put.  Paths lead through helpers, branches and loops,
with the kernel's answers left open; a path is the number of puts (none, one, more), the last put, and what is known of
boolean locals (`paths.py`).  (The kernel ends a scheduler that inserts a task twice, and one whose task waits for ever;
the verifier detects neither.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import assert_never

from transect.base.diagnostic import Diagnostic, Diagnostics, Label
from transect.base.span import Span
from transect.core import ir
from transect.core.ir import Expr, Function, Program
from transect.core.types import ViewType
from transect.core.walk import walk
from transect.cpu.calls import PUTS, STARTS, TAKES, Calls
from transect.cpu.paths import Path, bound_by, few, tested

# Hooks in which the kernel allows each function.
ALLOWED = (
    dict.fromkeys(PUTS - STARTS, ("enqueue",))
    | dict.fromkeys(STARTS, ("select", "enqueue"))
    | dict.fromkeys(TAKES, ("dispatch",))
    | {"cpu.idle_cpu": ("select",)}
)


@dataclass(frozen=True, slots=True)
class After:
    """Where the paths through a block lead."""

    on: frozenset[Path]  # the paths to its end
    left: frozenset[tuple[Path, Span]] = frozenset()  # those that leave the function, and where
    broke: frozenset[Path] = frozenset()
    again: frozenset[Path] = frozenset()  # those to the next iteration of the loop

    def then(self, other: After) -> After:
        return After(other.on, self.left | other.left, self.broke | other.broke, self.again | other.again)

    def __or__(self, other: After) -> After:
        return After(
            self.on | other.on, self.left | other.left, self.broke | other.broke, self.again | other.again
        )


def custody(program: Program) -> list[Diagnostic]:
    """Errors in how the (flat) program hands tasks on; empty if every task is always in exactly one place."""
    checker = _Custody(program)
    return list(checker.check())


class _Custody:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.functions = {f.name: f for f in program.functions}
        self.calls = Calls(program)
        # through helpers, by the path with which they are entered
        self.ways: dict[tuple[str, Path], frozenset[Path]] = {}
        self.diagnostics = Diagnostics()

    def check(self) -> Iterable[Diagnostic]:
        for handler in self.program.handlers:
            if handler.default:
                continue
            self._places(handler)
            if handler.name in ("enqueue", "select"):
                self._counts(handler)
        self._served()
        return self.diagnostics

    # ---------------------------------------------------------------- once, on every path

    def _counts(self, handler: Function) -> None:
        after = self.block(handler.body, frozenset({Path()}))
        ends = after.left | {(path, _end(handler)) for path in after.on}
        if handler.name == "enqueue":
            for path, span in sorted(ends, key=lambda e: (e[1].line, e[1].column)):
                if path.puts == 0:
                    self._lost(handler, span)
                    return

    def _lost(self, handler: Function, span: Span) -> None:
        self.diagnostics.error(
            "C001",
            "on this path the task is put into no queue: nobody would ever run it",
            span,
            label="the hook ends here",
            others=(Label(handler.span, "has to put the task once, on every path"),),
            help="put it, for example `self.ready.put(task)`, or `start(task)`",
        )

    def block(self, block: ir.Block, paths: frozenset[Path]) -> After:
        result = After(paths)
        for s in block:
            if not result.on:
                break
            result = result.then(self.statement(s, few(result.on)))
        return result

    def statement(self, s: ir.Stmt, paths: frozenset[Path]) -> After:
        match s:
            case ir.Let(name=name, value=ir.Call() as call):
                return After(self.called(call, paths, name))
            case ir.Let(name=name, value=value):
                return After(frozenset(path.bind(name, value) for path in self.expressions(value, paths)))
            case ir.Store() | ir.Update() | ir.Remove() | ir.Do():
                return After(self.expressions(s, paths))
            case ir.If(cond=cond, then=then, orelse=orelse):
                at = self.expressions(cond, paths)
                return self.block(then, tested(at, cond, True)) | self.block(orelse, tested(at, cond, False))
            case ir.Switch(subject=subject, cases=cases):
                at = self.expressions(subject, paths)
                result = After(at if not _whole(cases) else frozenset())
                for case in cases:
                    bound = tuple(bound_by([case.pattern]))
                    result |= self.block(case.body, frozenset(path.without(*bound) for path in at))
                return result
            case ir.For(targets=targets, body=body):
                return self.loop(targets, body, self.expressions(s.source, paths))
            case ir.Break():
                return After(frozenset(), broke=paths)
            case ir.Continue():
                return After(frozenset(), again=paths)
            case ir.Return(value=value):
                at = paths if value is None else self.expressions(value, paths)
                left = (replace(path, result=None if value is None else path.holds(value)) for path in at)
                return After(frozenset(), frozenset((path, s.span) for path in left))
            case ir.Pass():
                return After(paths)
            case _:
                assert_never(s)

    def loop(self, targets: tuple[str, ...], body: ir.Block, paths: frozenset[Path]) -> After:
        """Any number of iterations: repeated until no new path comes."""
        seen, left, out = paths, After(frozenset()), paths
        while True:
            after = self.block(body, frozenset(path.without(*targets) for path in seen))
            left = replace(left, left=left.left | after.left)
            out |= after.broke
            more = few(seen | after.on | after.again)
            if more == seen:
                return After(out | more, left.left)
            seen = more

    def expressions(self, node: ir.Stmt | Expr | ir.Source, paths: frozenset[Path]) -> frozenset[Path]:
        """What the puts and calls in an expression do to the paths; in flat form there is one at a time."""
        for part in _expressions(node):
            match part:
                case ir.Intrinsic(name=name) if name in PUTS:
                    paths = frozenset(self._put(path, part) for path in paths)
                case ir.Call():
                    paths = self.called(part, paths)
                case _:
                    pass
        return paths

    def called(self, call: ir.Call, paths: frozenset[Path], name: str = "") -> frozenset[Path]:
        """Paths through a helper; what it returns is given to the local `name`."""
        helper = self.functions[call.function]
        found = set()
        for path in paths:
            given = [(p.name, path.holds(arg)) for p, arg in zip(helper.params, call.args, strict=True)]
            for end in self._through(helper, path.entered(given)):
                found.add(replace(path, puts=end.puts, at=end.at).told(name, end.result))
        return frozenset(found)

    def _through(self, helper: Function, path: Path) -> frozenset[Path]:
        """Where the paths through the helper end; what is known of its own locals is forgotten there."""
        if (helper.name, path) not in self.ways:
            after = self.block(helper.body, frozenset({path}))
            ends = after.on | {left for left, _ in after.left}
            self.ways[helper.name, path] = frozenset(end.entered(()) for end in ends)
        return self.ways[helper.name, path]

    def _put(self, path: Path, put: ir.Intrinsic) -> Path:
        if path.puts:
            assert path.at is not None, "a put has a place"
            self.diagnostics.error(
                "C002",
                "the task is in a queue already: the kernel ends a scheduler that puts it twice",
                put.span,
                label="put again",
                others=(Label(path.at, "put here before"),) if path.at != put.span else (),
                help="put it once: `if … else`, a `return` behind the first, or a `break` out of the loop",
            )
        return path.put(put.span)

    # ---------------------------------------------------------------- where what is allowed

    def _places(self, handler: Function) -> None:
        for call, _ in self.calls.of(handler):
            allowed = ALLOWED.get(call.name)
            if allowed is not None and handler.name not in allowed:
                self.diagnostics.error(
                    "C003",
                    f"`{call.name.rpartition('.')[2]}` has no place in `{handler.name}`",
                    call.span,
                    label="the kernel refuses it here",
                    help=f"it belongs to {' and '.join(f'`{hook}`' for hook in allowed)}",
                )

    # ---------------------------------------------------------------- every queue is served

    def _served(self) -> None:
        dispatch = self.program.handler("dispatch")
        served = {
            queue
            for call, queues in (self.calls.of(dispatch) if dispatch else ())
            if call.name in TAKES
            for queue in queues
        }
        fields = [f for f in self.program.state if f.kind is ir.FieldKind.GIVEN]
        every = frozenset(f.name for f in fields if isinstance(f.type, ViewType))
        for handler in self.program.handlers:
            for call, queues in self.calls.of(handler):
                if call.name not in PUTS - STARTS:
                    continue
                for queue in sorted((queues or every) - served):  # what we cannot follow may be any queue
                    self.diagnostics.error(
                        "C004",
                        f"tasks in `{queue}` would wait for ever: `dispatch` never takes from it",
                        call.span,
                        label="put here",
                        others=()
                        if dispatch is None
                        else (Label(dispatch.span, "takes from other queues only"),),
                        help=f"write `self.{queue}.take()` in `dispatch`, or for many queues `.on(…).take()`",
                    )


def _expressions(node: object) -> Iterator[object]:
    """The nodes of a piece, in the order in which they are evaluated."""
    return iter(list(walk(node))[::-1])  # type: ignore[arg-type]


def _whole(cases: tuple[ir.Case, ...]) -> bool:
    """Whether one of the cases is always taken."""
    return any(isinstance(case.pattern, ir.MatchAny) and case.guard is None for case in cases)


def _end(handler: Function) -> Span:
    """The last statement of a handler, after which it ends without a `return`."""
    return handler.body[-1].span if handler.body else handler.span
