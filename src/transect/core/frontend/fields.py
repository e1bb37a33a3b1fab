# SPDX-License-Identifier: Apache-2.0
"""State fields of a policy: `name: annotation = constructor(…)`."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from transect.base.counted import counted
from transect.base.diagnostic import closest
from transect.core import ir
from transect.core.frontend.bounded import bounded_text, with_default_bound
from transect.core.frontend.constants import constant_of
from transect.core.frontend.declare import World
from transect.core.frontend.modules import ConstantDef, Module, Surface, import_of, surface_name
from transect.core.frontend.plain import is_constant, number, plain
from transect.core.frontend.surface import CONSTRUCTORS, DURATION_UNITS
from transect.core.ir import FieldKind, StateField
from transect.core.types import (
    ArrayType,
    CounterType,
    EnumType,
    FloatType,
    HistogramType,
    IntType,
    KeyType,
    Options,
    OptionType,
    Sync,
    TableKind,
    TableType,
    TupleType,
    Type,
    ViewType,
    an,
    is_key,
    is_value,
    spell,
)

MERGES = ("sum", "max", "min", "last")
OPTION_NAMES = ("scope", "sync", "merge", "persist", "exclusive", "was")
_KINDS = {
    "table": TableKind.TABLE,
    "tally": TableKind.TALLY,
    "lru": TableKind.LRU,
    "ordered": TableKind.ORDERED,
}
_ANNOTATION = {"table": "Map", "tally": "Tally", "lru": "Map", "ordered": "Ordered", "array": "Array"}
MAX_CAPACITY = 1 << 24


@dataclass(eq=False)
class FieldReader:
    """Reads the fields of one class; diagnostics instead of exceptions, None instead of a field."""

    world: World
    module: Module
    scopes: tuple[str, ...]
    locals: bool = True  # whether the stratum has RPCs, requests, tasks that fields may belong to
    # Fields of another version: only their names and types matter, not first values and sizes
    old: bool = False

    def read(self, node: ast.AnnAssign, name: str) -> StateField | None:
        wrapper, inner = self._wrapper(node.annotation)
        constructor, call = self._constructor(node.value)
        span = self.module.source.span(node)
        if wrapper in ("Map", "Tally", "Ordered", "Array"):
            return self._table(node, name, wrapper, inner, constructor, call)
        if wrapper in ("Counter", "Histogram"):
            return self._meter(node, name, wrapper, constructor, call)
        if constructor == "given":
            t = self.world.type_of(self.module, node.annotation)
            if t is None or self.module.library or isinstance(t, ViewType):
                return None if t is None else StateField(name, t, FieldKind.GIVEN, None, span=span)
            return self._bad(node, f"nobody gives {an(t)}", "what a stratum gives is a view of it")
        kind = {"Param": FieldKind.PARAM, "Local": FieldKind.LOCAL}.get(wrapper, FieldKind.STATE)
        annotation = inner[0] if wrapper in ("Param", "Local") and inner else node.annotation
        return self._scalar(node, name, kind, annotation, constructor, call)

    # ------------------------------------------------------------ shapes of a field

    def _scalar(
        self,
        node: ast.AnnAssign,
        name: str,
        kind: FieldKind,
        annotation: ast.expr,
        constructor: str,
        call: ast.Call | None,
    ) -> StateField | None:
        if kind is FieldKind.LOCAL and not self.locals:
            help = "keep it in a table: `Map[Client, …] = table(…)`"
            return self._bad(node, "this kind of policy has no RPC for a `Local` to belong to", help)
        wanted = {FieldKind.PARAM: ("param",), FieldKind.LOCAL: ("local",)}.get(
            kind, ("", "state", "text", "blob")
        )
        if constructor in ("param", "local") and kind is FieldKind.STATE:
            help = f"annotate it: `{name}: {constructor.title()}[…] = {constructor}(…)`"
            return self._bad(node, f"`{constructor}(…)` makes a `{constructor.title()}`", help)
        if constructor not in wanted:
            return self._mismatch(node, name, constructor, f"`{wanted[0]}(…)`" if wanted[0] else "a literal")
        if node.value is None and not self.old:
            return self._bad(
                node,
                f"`{name}` has no first value",
                'give one: `= 0`, `= ""`, `= None`, or a constructor such as `table(1024)`',
            )
        t = self.world.type_of(self.module, annotation)
        if t is None:
            return None
        if not is_value(t):
            return self._bad(
                node,
                f"state cannot hold {an(t)}",
                "references are valid for one call only; store a key or a copy of the fields",
            )
        value: ast.expr | None = node.value
        if call is not None and constructor in ("param", "local", "state"):
            value = call.args[0] if len(call.args) == 1 else None
            if value is None:
                return self._bad(node, f"`{constructor}` takes the first value", f"write `{constructor}(0)`")
        bounded, rest = bounded_text(self.module, t, value)
        if rest is not value and bounded == t:
            help = "write `text(64)` for `str`, `blob(64)` for `bytes`"
            return self._bad(node, f"this bounds a text, and `{name}` is {an(t)}", help, at=value)
        t, value = with_default_bound(bounded), rest
        default = (
            self._default(node, name, t, value) if value is not None or not self.old else self._zero(node, t)
        )
        options = self._options(call, t)
        if default is None or options is None:
            return None
        return StateField(name, t, kind, default, options, span=self.module.source.span(node))

    def _zero(self, node: ast.AnnAssign, t: Type) -> ir.Expr:
        """The first value of an old field, which nothing reads."""
        return ir.Const(None if isinstance(t, OptionType) else 0, type=t, span=self.module.source.span(node))

    def _default(self, node: ast.AnnAssign, name: str, t: Type, value: ast.expr | None) -> ir.Expr | None:
        span = self.module.source.span(node if value is None else value)
        if value is None:  # `text(64)` alone
            empty = None if isinstance(t, OptionType) else b"" if spell(t).startswith("bytes") else ""
            return ir.Const(empty, type=t, span=span)
        ok, first = plain(self.world, self.module, value, t)
        if ok:
            return constant_of(first, t, span)
        binding = self.world.binding(self.module, value)
        if isinstance(binding, ConstantDef) and not is_constant(self.world, binding):
            return None
        self.world.diagnostics.error(
            "P028",
            f"the first value of `{name}` is not a literal of type `{spell(t)}`",
            span,
            label="must be a plain value that fits the type",
            help=self._not_imported(value) or _literal_help(t),
        )
        return None

    def _table(
        self,
        node: ast.AnnAssign,
        name: str,
        wrapper: str,
        inner: list[ast.expr],
        constructor: str,
        call: ast.Call | None,
    ) -> StateField | None:
        wanted = [c for c, a in _ANNOTATION.items() if a == wrapper]
        if self.old and node.value is None:
            constructor = wanted[0]
            call = ast.Call(ast.Name(constructor, ast.Load()), [ast.Constant(MAX_CAPACITY)], [])
            ast.copy_location(call, node)
            ast.fix_missing_locations(call)
        if call is None or constructor not in wanted:
            return self._mismatch(node, name, constructor, " or ".join(f"`{c}(…)`" for c in wanted))
        count = 1 if wrapper == "Array" else 2
        if len(inner) != count:
            return self._bad(
                node,
                f"`{wrapper}` takes {counted(count, 'type argument')}",
                "sizes go into the constructor: `Map[str, int] = table(1024)`, `Array[int] = array(64)`",
            )
        types = [self.world.type_of(self.module, p) for p in inner]
        capacity = self._int(call.args[0]) if len(call.args) == 1 else None
        if capacity is None or not 1 <= capacity <= MAX_CAPACITY:
            return self._bad(
                node,
                f"`{constructor}` takes its size: a whole number from 1 to {MAX_CAPACITY:,}",
                f"write `{constructor}(1024)`",
                at=call,
            )
        if any(t is None for t in types):
            return None
        item = self._bound(call, "value", types[-1])
        if item is None or not self._storable(node, item):
            return None
        if wrapper == "Array":
            t: Type = ArrayType(item, capacity)
        else:
            key = self._bound(call, "key", types[0])
            if key is None or not self._keyable(node, key):
                return None
            if (
                constructor == "tally"
                and not isinstance(item, IntType | FloatType)
                and spell(item) != "Duration"
            ):
                return self._bad(
                    node, f"a tally holds numbers, not `{spell(item)}`", "use `Map[…] = table(…)`"
                )
            if constructor == "ordered" and _has_identity(key):
                return self._bad(
                    node,
                    f"{an(key)} has no order, so an ordered table cannot be kept by it",
                    "use `Map[…] = table(…)`, and find the smallest with `min(…, key=…)`",
                )
            t = TableType(_KINDS[constructor], key, item, capacity)
        options = self._options(call, t, extra=("key", "value"))
        return (
            None
            if options is None
            else StateField(name, t, FieldKind.STATE, None, options, span=self.module.source.span(node))
        )

    def _storable(self, node: ast.AnnAssign, t: Type) -> bool:
        if is_value(t):
            return True
        self._bad(
            node,
            f"a table cannot hold {an(t)}",
            "tables hold numbers, text, bytes, enums, tuples, structs and options of these",
        )
        return False

    def _keyable(self, node: ast.AnnAssign, t: Type) -> bool:
        if is_key(t):
            return True
        self._bad(
            node,
            f"{an(t)} cannot be a key",
            "keys are integers, bool, text, bytes, enums, times, a stratum's own (`Client`), and tuples of these",
        )
        return False

    def _bound(self, call: ast.Call, option: str, t: Type | None) -> Type | None:
        """The type as stored: bounded by `key=text(64)`, `value=blob(4096)`, else by default."""
        given = next((k.value for k in call.keywords if k.arg == option), None)
        if t is None or given is None:
            return None if t is None else with_default_bound(t)
        bounded, rest = bounded_text(self.module, t, given)
        if bounded == t or rest is not None:
            self.world.diagnostics.error(
                "P028",
                f"`{option}=` gives the bound of a text",
                self.module.source.span(given),
                label="not a bound for this type",
                help=f"write `{option}=text(64)` for `str`, `{option}=blob(64)` for `bytes`",
            )
            return None
        return bounded

    def _meter(
        self, node: ast.AnnAssign, name: str, wrapper: str, constructor: str, call: ast.Call | None
    ) -> StateField | None:
        if call is None or constructor != wrapper.lower() or call.args:
            return self._mismatch(node, name, constructor, f"`{wrapper.lower()}()`")
        t: Type = CounterType() if wrapper == "Counter" else HistogramType()
        options = self._options(call, t)
        return (
            None
            if options is None
            else StateField(name, t, FieldKind.STATE, None, options, span=self.module.source.span(node))
        )

    # ------------------------------------------------------------ options

    def _options(self, call: ast.Call | None, t: Type, extra: tuple[str, ...] = ()) -> Options | None:
        given: dict[str, object] = {}
        for keyword in call.keywords if call is not None else ():
            if keyword.arg in extra:
                continue
            if keyword.arg not in OPTION_NAMES:
                close = closest(keyword.arg or "**", [*OPTION_NAMES, *extra])
                return self._bad_option(
                    keyword,
                    f"no option `{keyword.arg or '**'}`",
                    f"write `{close}=`" if close else f"options are {', '.join(OPTION_NAMES)}",
                )
            if not isinstance(keyword.value, ast.Constant):
                return self._bad_option(
                    keyword, f"`{keyword.arg}=` takes a literal", "write a text in quotes, or True"
                )
            given[keyword.arg] = keyword.value.value
            if not self._valid(keyword, keyword.arg, keyword.value.value):
                return None
        return self._consistent(call, given, t)

    def _valid(self, keyword: ast.keyword, name: str, value: object) -> bool:
        choices: tuple[object, ...] | None = {
            "scope": self.scopes,
            "sync": tuple(s.value for s in Sync),
            "merge": MERGES,
            "persist": (True, False),
            "exclusive": (True, False),
        }.get(name)
        if name == "was":
            return (
                isinstance(value, str)
                or self._bad_option(keyword, "`was=` takes the field's old name", "write it in quotes")
                is not None
            )
        if choices is not None and value not in choices:
            self._bad_option(
                keyword,
                f"`{name}={value!r}` is not one of this stratum's"
                if name == "scope"
                else f"`{name}={value!r}` does not exist",
                f"choose from {', '.join(map(repr, choices))}",
            )
            return False
        return True

    def _consistent(self, call: ast.Call | None, given: dict[str, object], t: Type) -> Options | None:
        options = Options(
            scope=str(given.get("scope", "instance")),
            sync=Sync(str(given.get("sync", "none"))),
            merge=None if given.get("merge") is None else str(given["merge"]),
            persist=bool(given.get("persist", False)),
            exclusive=bool(given.get("exclusive", False)),
            was=None if given.get("was") is None else str(given["was"]),
        )
        assert call is not None or not given
        value = t.value if isinstance(t, TableType) else t.item if isinstance(t, ArrayType) else t
        if call is None:
            return options
        if options.sync is Sync.EVENTUAL and options.merge is None:
            return self._bad_option(
                call,
                '`sync="eventual"` needs `merge=`',
                'say how copies agree: `merge="sum"`, `"max"`, `"min"` or `"last"`',
            )
        if options.merge == "sum" and isinstance(value, FloatType):
            return self._bad_option(
                call,
                "floats cannot be merged by sum",
                "count in integers (micro-units), so that the order of merging does not matter",
            )
        if (
            options.merge in ("sum", "max", "min")
            and not isinstance(value, IntType | FloatType)
            and spell(value) not in ("Instant", "Duration")
        ):
            return self._bad_option(call, f"`merge={options.merge!r}` needs numbers", 'use `merge="last"`')
        if options.exclusive and isinstance(t, TableType):
            return self._bad_option(
                call, "`exclusive=True` is for scalars, structs and arrays", "leave it out"
            )
        return options

    # ------------------------------------------------------------ parts

    def _wrapper(self, node: ast.expr) -> tuple[str, list[ast.expr]]:
        target = node.value if isinstance(node, ast.Subscript) else node
        binding = self.world.binding(self.module, target)
        if not isinstance(binding, Surface):
            return "", []
        inner = (
            []
            if not isinstance(node, ast.Subscript)
            else node.slice.elts
            if isinstance(node.slice, ast.Tuple)
            else [node.slice]
        )
        return binding.name, list(inner)

    def _constructor(self, node: ast.expr | None) -> tuple[str, ast.Call | None]:
        match node:
            case ast.Call(func=ast.Name() as func):
                name = surface_name(self.module, func)
                return (name, node) if name in CONSTRUCTORS else ("", None)
            case _:
                return "", None

    def _int(self, node: ast.expr) -> int | None:
        return number(self.world, self.module, node)

    def _mismatch(self, node: ast.AnnAssign, name: str, constructor: str, wanted: str) -> None:
        got = f"`{constructor}(…)`" if constructor else "this value"
        self._bad(
            node,
            f"`{name}` is declared as `{ast.unparse(node.annotation)[:60]}` but made by {got}",
            self._not_imported(node.value) or f"make it by {wanted}",
        )

    def _not_imported(self, value: ast.expr | None) -> str:
        """What to do when the first value is made by a name that the file does not import."""
        match value:
            case ast.Call(func=ast.Name(id=name)) if name not in self.module.names:
                close = name if name in CONSTRUCTORS | set(DURATION_UNITS) else closest(name, CONSTRUCTORS)
                if close is None or close in self.module.names:
                    return "" if close is None else f"write `{close}(…)`"
                return f"import `{close}`: `{import_of(close)}`"
            case _:
                return ""

    def _bad(self, node: ast.AnnAssign, message: str, help: str, at: ast.expr | None = None) -> None:
        self.world.diagnostics.error(
            "P028", message, self.module.source.span(at or node), label="not a state field", help=help
        )

    def _bad_option(self, node: ast.AST, message: str, help: str) -> None:
        self.world.diagnostics.error(
            "P029", message, self.module.source.span(node), label="cannot be meant", help=help
        )


def _literal_help(t: Type) -> str:
    match t:
        case EnumType(name=name, members=((member, _), *_)):
            return f"write a member: `{name}.{member}`"
        case _:
            return 'write a literal such as `0`, `1.5`, `""`, `True`, `None`, or a struct of literals'


def _has_identity(t: Type) -> bool:
    """Whether the type contains a stratum's own key, which can only be compared."""
    match t:
        case TupleType(items=items):
            return any(map(_has_identity, items))
        case _:
            return isinstance(t, KeyType)
