# SPDX-License-Identifier: Apache-2.0
"""One element of a chain as C: its handlers, and between them and `runtime/elements.h` a wrapper for each hook."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from transect.core.types import OptionType, Type, UnionType
from transect.core.types import StructType as StructValue
from transect.emit.c import lower
from transect.emit.c import tree as c
from transect.emit.c.codec import write
from transect.emit.c.emitter import Lowered
from transect.emit.c.forms import case_member, member_of
from transect.emit.c.layout import keep, value_type
from transect.emit.c.names import snake
from transect.emit.c.unit import Unit
from transect.rpc.chain.binding import BoundElement
from transect.rpc.chain.needs import HOOKS, is_rpc
from transect.rpc.native.scan import Scanners
from transect.rpc.native.view_code import ViewCode
from transect.rpc.native.views import RpcViews

STEP, CALL, VERDICT = c.name("step"), c.name("call"), c.name("verdict")
SIDES = {"request": "TS_REQUEST_HEADERS", "response": "TS_RESPONSE_HEADERS", "finish": "TS_RESPONSE_HEADERS"}


def void(name: str, const: bool = False) -> c.Var:
    return c.Var(name, c.Pointer(c.Named("void", const)))


def static(name: str, returns: c.CType, params: tuple[c.Var, ...], *body: c.Stmt) -> c.Function:
    return c.Function(name, returns, params, c.Block(body), "static")


@dataclass(frozen=True)
class _Later:
    """A message that a later hook reads, kept through one view class."""

    root: str  # request or reply
    view: str

    @property
    def member(self) -> str:
        return f"{self.root}_{snake(self.view)}"


class ElementCode:
    """What a chain emits for one of its elements."""

    def __init__(self, scanners: Scanners, index: int, element: BoundElement) -> None:
        self.scanners = scanners
        self.element = element
        self.views = RpcViews(element, scanners)
        prefix = f"e{index}_{snake(element.name)}"
        self.lowered: Lowered = lower(element.program, views=self.views, prefix=prefix)
        self.unit: Unit = self.lowered.unit
        self.code = ViewCode(self.unit, self.views)

    def name(self, suffix: str) -> str:
        return f"run_{self.unit.prefix}_{suffix}"

    @property
    def kept_type(self) -> c.StructType:
        return c.StructType(self.name("kept"))

    # ------------------------------------------------------------ what is kept

    def view_of(self, hook: str, root: str) -> str:
        """The view class through which a hook sees the request or reply; "": none."""
        handler = self.element.program.handler(hook)
        assert handler is not None
        arguments = getattr(handler.params[0].type, "arguments", ())
        place = 0 if root == "request" else 1
        name = getattr(arguments[place], "name", "") if len(arguments) > place else ""
        return name if self.views.is_message(name) else ""

    @cached_property
    def later(self) -> tuple[_Later, ...]:
        needs = self.element.needs
        found = [
            _Later("request", self.view_of(h, "request"))
            for h in ("response", "finish")
            if needs.uses_of(h, "msg")
        ]
        if needs.uses_of("finish", "reply"):
            found.append(_Later("reply", self.view_of("finish", "reply")))
        return tuple(dict.fromkeys(found))

    @cached_property
    def later_bodies(self) -> tuple[str, ...]:
        needs = self.element.needs
        body = ["body"] if needs.uses_of("response", "body") or needs.uses_of("finish", "body") else []
        return (*body, *(["reply_body"] if needs.uses_of("finish", "reply_body") else []))

    def _kept_struct(self) -> c.Struct:
        members: list[c.Var | c.Comment] = []
        if self.unit.has_locals:
            members.append(c.Var("local", c.StructType(self.unit.name("local"))))
        members += [c.Var(kept.member, c.Pointer(self.code.struct(kept.view))) for kept in self.later]
        members += [c.Var(body, c.SLICE) for body in self.later_bodies]
        return c.Struct(self.kept_type.tag, tuple(members) or (c.Var("nothing", c.U8),))

    # ------------------------------------------------------------ declarations

    def declarations(self) -> Iterator[c.Decl]:
        yield c.Comment(self.element.name)
        yield from self.lowered.header
        yield from self.lowered.source
        yield c.Here()
        types, functions = len(self.unit.header), len(self.unit.source)
        wrappers = list(self._wrappers())  # may need more of the unit: encoders, copies of verdicts
        yield from (*self.unit.header[types:], *self.unit.source[functions:], *wrappers)

    def _wrappers(self) -> Iterator[c.Decl]:
        yield from self.code.declarations()
        yield self._kept_struct()
        for root, view in self._seen():
            yield self._see(root, view)
        for root, view in self._seen():
            if self.code.changes(view):
                yield self._carry_back(root, view)
        for hook in HOOKS:
            if self._runs(hook):
                yield self._hook(hook)
        yield from self._adapters()

    def _runs(self, hook: str) -> bool:
        """Whether a hook has something to do: the policy defines it, or a later hook reads what passes there."""
        if hook in self.element.needs.hooks:
            return True
        roots = {"request": ("request", "body"), "response": ("reply", "reply_body"), "finish": ()}[hook]
        return any(kept.root in roots for kept in self.later) or any(
            body in roots for body in self.later_bodies
        )

    def _seen(self) -> list[tuple[str, str]]:
        """Roots and the view classes over them."""
        found: dict[tuple[str, str], None] = {}
        for method in self.element.methods:
            found |= dict.fromkeys(("request", view) for view in method.requests)
            found |= dict.fromkeys(("reply", view) for view in method.replies)
        return list(found)

    def _by_message(self, root: str, view: str) -> dict[str, list[int]]:
        """Methods, by the message that the view stands for in them."""
        found: dict[str, list[int]] = {}
        for index, bound in enumerate(self.element.methods):
            names = bound.requests if root == "request" else bound.replies
            if view in names:
                found.setdefault(
                    bound.method.request if root == "request" else bound.method.reply, []
                ).append(index)
        return found

    def _see(self, root: str, view: str) -> c.Function:
        """A function that makes a view of a scanned message, or of an empty one when there is none."""
        struct = self.code.struct(view)
        params = (c.Var("step", c.pointer("ts_step", True)), void("found", const=True))
        arena = c.address(c.arrow(c.arrow(STEP, "call"), "arena"))
        made = c.Var("v", c.Pointer(struct), c.call("ts_take_zeroed", arena, c.SizeOf(struct)))

        def fill(message: str) -> c.Stmt:
            empty = c.address(c.name(f"empty_{self.scanners.names[message]}"))
            found = c.Ternary(c.Binary("!=", c.name("found"), c.NULL), c.name("found"), empty)
            return c.Do(c.call(self.code.fill_name(view, message), c.name("v"), found, arena))

        body = (made, self._per_message(root, view, fill), c.Return(c.name("v")))
        return c.Function(
            self.name(f"see_{root}_{snake(view)}"), c.Pointer(struct), params, c.Block(body), "TS_INLINE"
        )

    def _carry_back(self, root: str, view: str) -> c.Function:
        struct = self.code.struct(view)
        params = (c.Var("step", c.pointer("ts_step", True)), c.Var("v", c.Pointer(struct)))
        arena = c.address(c.arrow(c.arrow(STEP, "call"), "arena"))

        def drain(message: str) -> c.Stmt:
            return c.Do(
                c.call(self.code.drain_name(view, message), c.name("v"), c.arrow(STEP, "changing"), arena)
            )

        body = (self._per_message(root, view, drain),)
        return c.Function(
            self.name(f"carry_{root}_{snake(view)}"), c.VOID, params, c.Block(body), "TS_INLINE"
        )

    def _per_message(self, root: str, view: str, act: Callable[[str], c.Stmt]) -> c.Stmt:
        groups = self._by_message(root, view)
        if len(groups) == 1:
            return act(next(iter(groups)))
        arms: list[c.Arm] = []
        for message, methods in groups.items():
            arms += [c.Arm(c.Integer(m, "u"), ()) for m in methods[:-1]]
            arms.append(c.Arm(c.Integer(methods[-1], "u"), (act(message), c.Break())))
        arms.append(c.Arm(None, (c.Break(),)))
        return c.Switch(c.arrow(STEP, "method"), tuple(arms))

    # ------------------------------------------------------------ hooks

    def _hook(self, hook: str) -> c.Function:
        body: list[c.Stmt] = []
        if self.later or self.later_bodies or self.unit.has_locals:
            body.append(c.Var("kept", c.Pointer(self.kept_type), c.arrow(STEP, "kept")))
        if hook in self.element.needs.hooks:
            body.append(c.Var("call", c.pointer("ts_call"), c.arrow(STEP, "call")))
            body += self._rpc(hook)
            body += self._called(hook)
            body += self._carried(hook)
            body += self._written(hook)
            body += self._told(hook)
        body += self._keeping(hook)
        read = {n.name for s in body for n in c.walk(s) if isinstance(n, c.Name)}
        if "kept" not in read:
            body = [s for s in body if not (isinstance(s, c.Var) and s.name == "kept")]
        return static(self.name(hook), c.VOID, (c.Var("step", c.pointer("ts_step")),), *body)

    def _rpc(self, hook: str) -> Iterator[c.Stmt]:
        """Sets up the handler's `rpc` argument, with its views."""
        handler = self.element.program.handler(hook)
        assert handler is not None and is_rpc(handler.params[0].type)
        struct = value_type(self.unit, handler.params[0].type)
        assert isinstance(struct, c.Pointer)
        rpc, needs = c.name("rpc"), self.element.needs
        yield c.Var("rpc", struct.to, c.braces(c.ZERO))
        for root, field, here in (("request", "msg", "request"), ("reply", "reply", "response")):
            if needs.uses_of(hook, field):
                view = self.view_of(hook, root)
                yield c.assign(c.dot(rpc, field), self._message(hook, root, view, here))
        for field, here in (("body", "request"), ("reply_body", "response")):
            if needs.uses_of(hook, field):
                yield c.assign(
                    c.dot(rpc, field), c.arrow(STEP, "body") if hook == here else c.arrow("kept", field)
                )
        for field in ("method", "peer"):
            if needs.uses_of(hook, field):
                yield c.assign(c.dot(rpc, field), c.arrow(c.arrow(STEP, "rpc"), field))
        for field, side in (("headers", SIDES[hook]), ("trailers", "TS_RESPONSE_TRAILERS")):
            if needs.uses_of(hook, field):
                yield c.Var(field, c.StructType("ts_headers"), c.braces(c.name(side)))
                yield c.assign(c.dot(rpc, field), c.address(c.name(field)))

    def _message(self, hook: str, root: str, view: str, here: str) -> c.Expr:
        see = self.name(f"see_{root}_{snake(view)}")
        if hook == here:
            return c.call(see, STEP, c.arrow(STEP, "scanned"))
        kept = c.arrow("kept", _Later(root, view).member)
        return c.Ternary(c.Binary("!=", kept, c.NULL), kept, c.call(see, STEP, c.NULL))

    def _called(self, hook: str) -> Iterator[c.Stmt]:
        handler = self.element.program.handler(hook)
        assert handler is not None
        args: list[c.Expr] = [c.arrow(STEP, "state")]
        if self.unit.has_locals:
            args.append(c.address(c.arrow("kept", "local")))
        args += [CALL, c.address(c.name("rpc"))]
        if len(handler.params) > 1:
            outcome = value_type(self.unit, handler.params[1].type)
            assert isinstance(outcome, c.Pointer)
            parts = c.designated(
                code=c.arrow(STEP, "code"), cause=c.arrow(STEP, "cause"), elapsed=c.arrow(STEP, "elapsed")
            )
            yield c.Var("outcome", outcome.to, parts)
            args.append(c.address(c.name("outcome")))
        result = value_type(self.unit, handler.returns)
        call = c.call(self.unit.function(hook), *args)
        yield c.Do(c.call("ts_lock", STEP))
        yield c.Var("verdict", result, keep(self.unit, handler.returns, call))
        yield c.Do(c.call("ts_unlock", STEP))

    def _carried(self, hook: str) -> Iterator[c.Stmt]:
        root, field = {"request": ("request", "msg"), "response": ("reply", "reply")}.get(hook, ("", ""))
        if not root or not self.element.needs.uses_of(hook, field):
            return
        view = self.view_of(hook, root)
        if self.code.changes(view):
            yield c.Do(c.call(self.name(f"carry_{root}_{snake(view)}"), STEP, c.dot(c.name("rpc"), field)))

    def _written(self, hook: str) -> Iterator[c.Stmt]:
        """The verdict as the log has it."""
        handler = self.element.program.handler(hook)
        assert handler is not None
        out = c.name("log")
        once = write(self.unit, handler.returns, c.address(out), VERDICT)
        size, arena = c.dot(out, "size"), c.address(c.arrow(CALL, "arena"))
        body = (
            c.Var("log", c.StructType("ts_writer"), c.braces(c.NULL, c.ZERO, c.ZERO)),
            *once,
            c.assign(c.dot(out, "room"), size),
            c.assign(c.dot(out, "data"), c.call("ts_take", arena, size)),
            c.assign(size, c.ZERO),
            *once,
            c.assign(
                c.arrow(STEP, "verdict"),
                c.Compound(c.SLICE, c.braces(c.dot(out, "data"), c.Cast(c.U32, size))),
            ),
        )
        yield c.If(c.Binary("!=", c.arrow(CALL, "tape"), c.NULL), c.Block(body))

    def _told(self, hook: str) -> Iterator[c.Stmt]:
        """The verdict as the chain wants it."""
        handler = self.element.program.handler(hook)
        assert handler is not None
        match handler.returns:
            case UnionType(cases=cases) as union:
                arms = [
                    c.Arm(
                        c.Integer(i),
                        (*self._case(case, c.dot(c.dot(VERDICT, "as"), case_member(union, i))), c.Break()),
                    )
                    for i, case in enumerate(cases)
                ]
                yield c.Switch(c.dot(VERDICT, "kind"), (*arms, c.Arm(None, (c.Break(),))))
            case OptionType(item=item):
                after = self._part(item, c.dot(VERDICT, "value"), "after")
                told = (c.assign(c.arrow(STEP, "retry"), c.TRUE), *self._optional("after", after))
                yield c.If(c.dot(VERDICT, "some"), c.Block(told))
            case StructValue() as one:
                yield from self._case(one, VERDICT)
            case other:
                raise AssertionError(f"{hook} returns {other}")

    def _part(self, t: Type, value: c.Expr, name: str) -> c.Expr:
        return c.dot(value, member_of(t, name))

    def _case(self, t: StructValue, value: c.Expr) -> Iterator[c.Stmt]:
        match t.name:
            case "Forward":
                yield from self._optional("after", self._part(t, value, "after"))
                to = self._part(t, value, "to")
                named = c.assign(c.arrow(STEP, "to"), c.call("ts_there", c.dot(to, "value")))
                yield c.If(c.dot(to, "some"), c.Block((named,)))
            case "Reject":
                yield c.assign(c.arrow(STEP, "action"), c.name("TS_REJECT"))
                yield c.assign(c.arrow(STEP, "status"), self._part(t, value, "code"))
                yield c.assign(c.arrow(STEP, "text"), self._part(t, value, "message"))
            case "Respond":
                yield c.assign(c.arrow(STEP, "action"), c.name("TS_RESPOND"))
                yield c.assign(c.arrow(STEP, "text"), self._part(t, value, "body"))
            case other:
                raise AssertionError(f"no verdict is called {other}")

    def _optional(self, member: str, option: c.Expr) -> Iterator[c.Stmt]:
        yield c.If(c.dot(option, "some"), c.Block((c.assign(c.arrow(STEP, member), c.dot(option, "value")),)))

    def _keeping(self, hook: str) -> Iterator[c.Stmt]:
        root, body = {"request": ("request", "body"), "response": ("reply", "reply_body")}.get(hook, ("", ""))
        arena = c.arrow(STEP, "keep")
        for kept in self.later:
            if kept.root == root:
                seen = c.call(self.name(f"see_{root}_{snake(kept.view)}"), STEP, c.arrow(STEP, "scanned"))
                yield c.assign(
                    c.arrow("kept", kept.member), c.call(self.code.keep_name(kept.view), seen, arena)
                )
        if body in self.later_bodies:
            yield c.assign(c.arrow("kept", body), c.call("ts_kept", arena, c.arrow(STEP, "body")))

    # ------------------------------------------------------------ the table's row

    def _adapters(self) -> Iterator[c.Decl]:
        """The unit's own functions, through pointers of one type."""
        state = c.Cast(self.unit.state_type, c.name("state"))
        made = c.Return(c.call(self.unit.name("new"), c.call("ts_secret")))
        yield static(self.name("make"), void("x").type, (), made)
        yield static(
            self.name("release"), c.VOID, (void("state"),), c.Do(c.call(self.unit.name("free"), state))
        )
        image = c.Var("image", c.Pointer(c.U8))
        save = c.call(self.unit.name("save"), state, c.name("image"), c.name("room"))
        yield static(self.name("save"), c.SIZE, (void("state"), image, c.Var("room", c.SIZE)), c.Return(save))
        const = c.Var("image", c.Pointer(c.Named("uint8_t", True)))
        load = c.call(self.unit.name("load"), state, c.name("image"), c.name("size"))
        yield static(self.name("load"), c.INT, (void("state"), const, c.Var("size", c.SIZE)), c.Return(load))
        if self.unit.has_locals:
            local = c.address(
                c.Member(c.Cast(c.Pointer(self.kept_type), c.name("kept")), "local", arrow=True)
            )
            begin = c.Do(c.call(self.unit.name("local_init"), local))
            yield static(self.name("begin"), c.VOID, (void("kept"),), begin)

    def row(self) -> c.Braces:
        hooks = self.element.needs.hooks
        return c.designated(
            name=c.String(self.element.name.encode()),
            locks=c.TRUE if self.unit.stored else c.FALSE,
            hooks=c.braces(*(c.name(self.name(h)) if self._runs(h) else c.NULL for h in HOOKS)),
            defines=c.braces(*(c.TRUE if h in hooks else c.FALSE for h in HOOKS)),
            kept=c.SizeOf(self.kept_type),
            begin=c.name(self.name("begin")) if self.unit.has_locals else c.NULL,
            make=c.name(self.name("make")),
            release=c.name(self.name("release")),
            save=c.name(self.name("save")),
            load=c.name(self.name("load")),
        )
