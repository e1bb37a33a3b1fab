# SPDX-License-Identifier: Apache-2.0
"""Classes and annotations to types: structs, enums, views, keys, unions of verdicts."""

from __future__ import annotations

import ast
from collections.abc import Container, Mapping
from dataclasses import dataclass, field

from transect.base.diagnostic import Diagnostics, closest
from transect.base.span import Span
from transect.core import ir
from transect.core.frontend.bounded import bounded_text, with_default_bound
from transect.core.frontend.constants import literal
from transect.core.frontend.modules import (
    AliasDef,
    Binding,
    ClassDef,
    Module,
    ModuleRef,
    Modules,
    Surface,
    import_of,
    surface_name,
)
from transect.core.frontend.plain import plain
from transect.core.frontend.surface import CLASSES, PLAIN_TYPES
from transect.core.types import (
    INT,
    UNIT,
    DictType,
    EnumType,
    KeyType,
    OptionType,
    SeqType,
    SetType,
    StructField,
    StructType,
    TextType,
    TupleType,
    Type,
    UnionType,
    UnitType,
    ViewType,
    an,
    is_key,
    is_value,
    spell,
)

BUILTIN_TYPES = ("int", "bool", "float", "str", "bytes", "tuple", "set", "frozenset")


@dataclass(eq=False)
class World:
    """The types of one compilation; each class is declared once, when first asked for."""

    diagnostics: Diagnostics
    modules: Modules
    structs: dict[int, StructType | None] = field(default_factory=dict)
    enums: dict[int, EnumType] = field(default_factory=dict)
    views: dict[int, ir.View] = field(default_factory=dict)
    view_keys: dict[str, int] = field(default_factory=dict)  # of `views`, by the view's name
    view_methods: dict[str, dict[str, ast.FunctionDef]] = field(default_factory=dict)
    view_modules: dict[str, Module] = field(default_factory=dict)
    unions: dict[str, UnionType] = field(default_factory=dict)
    named: dict[str, ClassDef] = field(default_factory=dict)
    numbers: dict[int, dict[str, int]] = field(default_factory=dict)  # of each enum's members
    named_in_views: dict[int, frozenset[str]] = field(default_factory=dict)  # of each module
    methods: dict[int, dict[str, ast.FunctionDef]] = field(default_factory=dict)  # of each class
    hashes: dict[tuple[str, ...], str] = field(default_factory=dict)  # of the texts of these paths
    checked_modules: set[int] = field(default_factory=set)  # whose helpers have been typed, called or not
    opened: list[ast.expr] = field(default_factory=list)  # values of aliases that are being read

    # ------------------------------------------------------------ names

    def binding(self, module: Module, node: ast.expr) -> Binding | None:
        """What a name or dotted name stands for."""
        match node:
            case ast.Name(id=name):
                if name in module.names:
                    return module.names[name]
                return Surface(name) if name in BUILTIN_TYPES else None
            case ast.Attribute(value=value, attr=attr):
                base = self.binding(module, value)
                return base.module.names.get(attr) if isinstance(base, ModuleRef) else None
            case _:
                return None

    def bases(self, cls: ClassDef) -> list[ClassDef | str]:
        """Base classes: a class of a file, or the language's own by name (`Policy`, `View`, `IntEnum` …)."""
        found: list[ClassDef | str] = []
        for base in cls.node.bases:
            target = base.value if isinstance(base, ast.Subscript) else base
            match self.binding(cls.module, target):
                case ClassDef() as other:
                    found.append(other)
                case Surface(name=name):
                    found.append(name)
                case _ if isinstance(target, ast.Name) and target.id in cls.module.lacking:
                    pass
                case _:
                    name = ast.unparse(target)[:40]
                    close = closest(name, [*CLASSES, *cls.module.names])
                    self.diagnostics.error(
                        "P007",
                        f"unknown base class `{name}`",
                        cls.module.source.span(base),
                        label="not defined or imported in this file",
                        help=_how(name, close, "import it, for example `from transect.rpc import Element`"),
                    )
        return found

    def kind(self, cls: ClassDef, seen: tuple[ClassDef, ...] = ()) -> str:
        """The kind of a class: policy, view, key, old, enum, struct; "" when nothing known."""
        if cls in seen:
            return ""
        if any(surface_name(cls.module, d) == "struct" for d in cls.node.decorator_list):
            return "struct"
        for base in self.bases(cls):
            if isinstance(base, str):
                kind = {
                    "Policy": "policy",
                    "View": "view",
                    "Key": "key",
                    "OldState": "old",
                    "IntEnum": "enum",
                }.get(base, "")
            else:
                kind = self.kind(base, (*seen, cls))
            if kind:
                return kind
        return ""

    # ------------------------------------------------------------ annotations

    def type_of(self, module: Module, node: ast.expr) -> Type | None:
        """The type of values that an annotation names; None with a diagnostic when it names none."""
        t = self.result_type(module, node)
        if not isinstance(t, UnitType):
            return t
        return self._no_type(
            module,
            node,
            "`None` is not a type of values",
            help="write `T | None` for what may be absent; `None` alone is the result of a helper",
        )

    def result_type(self, module: Module, node: ast.expr) -> Type | None:
        """As `type_of`, and also `None`, for a function that returns nothing."""
        t = self._annotated(module, node)
        if isinstance(t, UnionType) and not t.name:  # written out where it stands
            name = "_or_".join(case.name for case in t.cases)
            return self.unions.setdefault(name, UnionType(name, t.cases))
        return t

    def _annotated(self, module: Module, node: ast.expr) -> Type | None:
        match node:
            case ast.Constant(value=None):
                return UNIT
            case ast.Constant(value=str(text)):
                return self._quoted(module, node, text)
            case ast.BinOp(op=ast.BitOr(), left=left, right=right):
                return self._either(module, node, left, right)
            case ast.Subscript(value=value, slice=inner):
                return self._subscript(module, node, value, inner)
            case ast.Name() | ast.Attribute():
                return self._named(module, node)
            case _:
                return self._no_type(module, node, "this is not a type")

    def _quoted(self, module: Module, node: ast.expr, text: str) -> Type | None:
        try:
            inner = ast.parse(text, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return self._no_type(module, node, "this is not a type")
        for part in ast.walk(inner):
            ast.copy_location(part, node)
        return self._annotated(module, inner)

    def _named(self, module: Module, node: ast.expr) -> Type | None:
        match self.binding(module, node):
            case ClassDef() as cls:
                return self.class_type(cls, module.source.span(node))
            case AliasDef(module=owner, value=value):
                return self._alias(owner, value, node)
            case Surface(name=name) if name in PLAIN_TYPES:
                return PLAIN_TYPES[name]
            case Surface(name="Counter" | "Histogram" as name):
                return self._no_type(
                    module,
                    node,
                    f"a `{name}` is a state field of its own",
                    help=f"declare it in the policy: `name: {name} = {name.lower()}()`",
                )
            case Surface(name="Any"):
                return self._no_type(
                    module,
                    node,
                    "`Any` alone is not a type of the language",
                    help="it stands for messages that are not looked into: `Rpc[Any, Any]`",
                )
            case Surface(name=name):
                return self._no_type(module, node, f"`{name}` needs its type arguments or is not a type here")
            case _:
                if isinstance(node, ast.Name) and node.id in ("M", "R") and module.library:
                    return ViewType(node.id)
                return self._unknown_type(module, node)

    def _unknown_type(self, module: Module, node: ast.expr) -> None:
        if isinstance(node, ast.Name) and node.id in module.lacking:
            return
        name = ast.unparse(node)[:60]
        close = closest(name, [*module.names, *BUILTIN_TYPES])
        self.diagnostics.error(
            "P007",
            f"unknown type `{name}`",
            module.source.span(node),
            label="not defined or imported in this file",
            help=_how(name, close, "import or define it"),
        )

    def _alias(self, owner: Module, value: ast.expr, node: ast.expr) -> Type | None:
        if value in self.opened:
            self.diagnostics.error(
                "P018",
                "this type is made of itself",
                owner.source.span(value),
                help="name another type; a view's field may be of the view's own class",
            )
            return None
        self.opened.append(value)
        t = self._annotated(owner, value)
        self.opened.pop()
        if isinstance(t, UnionType) and t.name == "":
            name = (
                node.attr
                if isinstance(node, ast.Attribute)
                else node.id
                if isinstance(node, ast.Name)
                else ""
            )
            return self.unions.setdefault(name, UnionType(name, t.cases))
        return t

    def _either(self, module: Module, node: ast.expr, left: ast.expr, right: ast.expr) -> Type | None:
        a, b = self._annotated(module, left), self._annotated(module, right)
        if a is None or b is None:
            return None
        if isinstance(a, UnitType):
            a, b = b, a
        if isinstance(b, UnitType):
            if isinstance(a, OptionType | UnitType):
                return self._no_type(module, node, "an option of an option does not exist")
            return OptionType(a)
        cases: list[StructType] = []
        for t in (a, b):
            match t:
                case StructType():
                    cases.append(t)
                case UnionType(cases=more):
                    cases.extend(more)
                case _:
                    return self._no_type(
                        module, node, f"`{spell(a)} | {spell(b)}` is not a type of the language"
                    )
        cases = list({c.name: c for c in cases}.values())
        if len(cases) == 1:
            return cases[0]
        for union in self.unions.values():
            if {c.name for c in cases} <= {c.name for c in union.cases}:
                return union
        return UnionType("", tuple(cases))

    def _view_argument(self, module: Module, node: ast.expr) -> Type | None:
        """What a view is of: a class of fields, or `Any`."""
        if self.binding(module, node) == Surface("Any"):
            return ViewType("Any")
        t = self.result_type(module, node)
        if t is None or isinstance(t, ViewType | StructType):
            return t
        return self._no_type(
            module, node, f"`{ast.unparse(node)[:40]}` has no fields", help="name a class, or write `Any`"
        )

    def _subscript(self, module: Module, node: ast.expr, value: ast.expr, inner: ast.expr) -> Type | None:
        parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
        match self.binding(module, value):
            case Surface(name="tuple"):
                if parts and isinstance(parts[-1], ast.Constant) and parts[-1].value is Ellipsis:
                    return self._no_type(module, node, "a tuple has a fixed number of elements")
                items = [self.type_of(module, p) for p in parts]
                return (
                    None
                    if any(i is None for i in items)
                    else TupleType(tuple(i for i in items if i is not None))
                )
            case Surface(name="set" | "frozenset"):
                item = self.type_of(module, parts[0])
                if item is None or is_key(item):
                    return None if item is None else SetType(item)
                return self._no_type(
                    module,
                    node,
                    f"a set cannot hold {an(item)}",
                    help="members are integers, texts, enums, keys, and tuples of these",
                )
            case Surface(name="Sequence") if len(parts) == 1:
                item = self.type_of(module, parts[0])
                return None if item is None else SeqType(item)
            case Surface(name="Mapping") if len(parts) == 2:
                key, item = self.type_of(module, parts[0]), self.type_of(module, parts[1])
                return None if key is None or item is None else DictType(key, item)
            case ClassDef() as cls if self.kind(cls) == "view":
                arguments = [self._view_argument(module, p) for p in parts]
                if any(a is None for a in arguments):
                    return None
                view = self.view(cls)
                return ViewType(view.name, tuple(a for a in arguments if a is not None))
            case Surface(name="Final" | "Param" | "Local" | "Annotated" | "ClassVar"):
                return self._no_type(module, node, "this wrapper stands around a whole annotation only")
            case Surface(name="Map" | "Tally" | "Ordered" | "Array"):
                return self._no_type(
                    module,
                    node,
                    "a table is a state field of its own",
                    help="use a tuple as the key instead of a table in a table; tables are fields of the policy",
                )
            case None if import_of(ast.unparse(value)):
                return self._unknown_type(module, value)
            case None:
                return self._no_type(
                    module, node, f"`{ast.unparse(node)[:40]}` is not a type of the language"
                )
            case _:
                return self._no_type(
                    module, node, f"`{ast.unparse(value)[:40]}` does not take type arguments"
                )

    def _no_type(self, module: Module, node: ast.expr, message: str, help: str = "") -> None:
        self.diagnostics.error(
            "P030",
            message,
            module.source.span(node),
            label="not a type that can stand here",
            help=help
            or "types are numbers, `bool`, `str`, `bytes`, times, tuples, `T | None`, structs, enums and views",
        )

    # ------------------------------------------------------------ classes

    def class_type(self, cls: ClassDef, at: Span) -> Type | None:
        """The type of values of a class."""
        match self.kind(cls):
            case "struct":
                return self.struct(cls)
            case "enum":
                return self.enum(cls)
            case "view":
                return ViewType(self.view(cls).name)
            case "old":
                self.diagnostics.error(
                    "P030",
                    f"the old state (`{cls.node.name}`) is for `migrate` and `migrate_back` alone",
                    at,
                    label="old state",
                    help="read its fields there, and give the helper their values",
                )
                return None
            case "key":
                return KeyType(cls.node.name)
            case "policy":
                self.diagnostics.error(
                    "P030",
                    f"a policy (`{cls.node.name}`) is not a type of values",
                    at,
                    label="a policy",
                    help="name a struct, view or plain type",
                )
                return None
            case _ if len(self.bases(cls)) < len(cls.node.bases) or self._unknown_decorator(cls):
                return None  # which has its own diagnostic
            case _:
                self.diagnostics.error(
                    "P043",
                    f"`{cls.node.name}` is not a class of the language",
                    at,
                    label="neither a struct nor a view, enum, key or policy",
                    help=f"put `@struct` above `class {cls.node.name}`",
                )
                return None

    def _unknown_decorator(self, cls: ClassDef) -> bool:
        unknown = [d for d in cls.node.decorator_list if self.binding(cls.module, d) is None]
        for decorator in unknown:
            name = ast.unparse(decorator)[:40]
            self.diagnostics.error(
                "P007",
                f"unknown decorator `{name}`",
                cls.module.source.span(decorator),
                label="not defined or imported in this file",
                help=_how(name, None, "leave it out; `@struct` makes a class of values"),
            )
        return bool(unknown)

    def struct(self, cls: ClassDef) -> StructType | None:
        key = id(cls)
        if key in self.structs:
            if self.structs[key] is None:
                self.diagnostics.error(
                    "P018",
                    f"struct `{cls.node.name}` contains itself",
                    cls.module.source.header(cls.node),
                    help="a struct is a value of fixed size; store a key instead",
                )
            return self.structs[key]
        self.structs[key] = None
        self._unique(cls)
        for base in cls.node.bases:
            self.diagnostics.error(
                "P043",
                f"the struct `{cls.node.name}` has a base class",
                cls.module.source.span(base),
                label="not part of the language",
                help="name all its fields here, or hold the other struct in one of them",
            )
        fields: list[StructField] = []
        for node, annotation, value in self._members(cls):
            t = self.type_of(cls.module, annotation)
            if t is None:
                continue
            if not is_value(t):
                self._no_type(cls.module, annotation, f"a struct cannot hold {an(t)}")
                continue
            if value is None and fields and not fields[-1].required:
                self.diagnostics.error(
                    "P028",
                    f"`{node}` has no default, but the field before it has one",
                    cls.module.source.span(annotation),
                    label="comes after a default",
                    help=f"give `{node}` a default, or move it up",
                )
            fields.append(self._struct_field(cls.module, node, t, value))
        self.structs[key] = StructType(cls.node.name, tuple(fields))
        return self.structs[key]

    def _struct_field(self, module: Module, name: str, t: Type, value: ast.expr | None) -> StructField:
        bounded, rest = bounded_text(module, t, value)
        t = with_default_bound(bounded)
        if value is None:
            return StructField(name, t)
        if rest is None and value is not None and isinstance(value, ast.Call):
            return StructField(name, t, "" if isinstance(t, TextType) else b"", required=False)
        ok, constant = (False, None) if rest is None else plain(self, module, rest, t)
        if not ok:
            self.diagnostics.error(
                "P028",
                f"the default of `{name}` is not a literal of type `{spell(t)}`",
                module.source.span(value),
                label="not a plain value",
                help="write a number, text, True, False, None, a member of an enum or a constant of the field's type",
            )
            return StructField(name, t, None, required=False)  # it has a diagnostic: ask nobody to fill it in
        return StructField(name, t, constant, required=False)

    def _members(self, cls: ClassDef) -> list[tuple[str, ast.expr, ast.expr | None]]:
        """Annotated fields of a struct, view or old state; anything else is refused (methods of a view are apart)."""
        found: list[tuple[str, ast.expr, ast.expr | None]] = []
        known: set[str] = set()
        for node in cls.node.body:
            match node:
                case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
                    if self._nameable(cls, node, name, known):
                        known.add(name)
                        found.append((name, annotation, value))
                case (
                    ast.Expr(value=ast.Constant(value=str()))
                    | ast.Pass()
                    | ast.Expr(value=ast.Constant(value=EllipsisType()))
                ):
                    pass
                case ast.FunctionDef() | ast.If() if cls.module.library:
                    pass
                case _:
                    self.diagnostics.error(
                        "P043",
                        f"`{cls.node.name}` may only name its fields",
                        cls.module.source.header(node),
                        label="not a field",
                        help="write `name: type`, one a line; functions become helpers of the module",
                    )
        return found

    def _nameable(self, cls: ClassDef, node: ast.stmt, name: str, known: Container[str]) -> bool:
        """Whether a field or member may have that name; else a diagnostic."""
        enum = self.kind(cls) == "enum" and (name == "mro" or (name[0] == "_" and name[-1] == "_"))
        if not name.startswith("__") and not enum and name not in known:
            return True
        twice = name in known
        self.diagnostics.error(
            "P042",
            f"`{cls.node.name}` names `{name}` twice" if twice else f"`{name}` cannot be named in a class",
            cls.module.source.span(node),
            label="the second one" if twice else "reserved",
            help="give one of them another name" if twice else "choose another name; Python keeps this one",
        )
        return False

    def enum(self, cls: ClassDef) -> EnumType:
        key = id(cls)
        if key not in self.enums:
            self._unique(cls)
            members: dict[str, int] = {}
            for node in cls.node.body:
                match node:
                    case ast.Assign(targets=[ast.Name(id=name)], value=number) if (
                        isinstance(value := literal(number, INT)[1], int) and literal(number, INT)[0]
                    ):
                        if self._nameable(cls, node, name, members):
                            members[name] = value
                    case ast.Expr(value=ast.Constant(value=str())) | ast.Pass():
                        pass
                    case _:
                        self.diagnostics.error(
                            "P043",
                            "an enum may only name its numbers",
                            cls.module.source.header(node),
                            label="not of the form `NAME = 1`",
                            help="write one `NAME = number` a line",
                        )
            outside = cls.module.library or self._seen_in_views(cls.node.name)
            self.enums[key] = EnumType(cls.node.name, tuple(members.items()), open=outside)
            self.numbers[key] = members
        return self.enums[key]

    def enum_numbers(self, cls: ClassDef) -> Mapping[str, int]:
        """The numbers of an enum by their names."""
        self.enum(cls)
        return self.numbers[id(cls)]

    def _seen_in_views(self, name: str) -> bool:
        """Whether a view of the policy's files has a field of that type, so that other numbers may come from
        outside.
        """
        return any(
            name in self._names_in_views(module)
            for module in self.modules.loaded.values()
            if module is not None and not module.library
        )

    def _names_in_views(self, module: Module) -> frozenset[str]:
        """What the annotations of the module's views name; found once, since each enum asks."""
        if id(module) not in self.named_in_views:
            named = (
                n
                for cls in module.names.values()
                if isinstance(cls, ClassDef) and self.kind(cls) == "view"
                for field in cls.node.body
                if isinstance(field, ast.AnnAssign)
                for n in ast.walk(field.annotation)
            )
            self.named_in_views[id(module)] = frozenset(
                n.id if isinstance(n, ast.Name) else n.attr
                for n in named
                if isinstance(n, ast.Name | ast.Attribute)
            )
        return self.named_in_views[id(module)]

    def view(self, cls: ClassDef) -> ir.View:
        key = id(cls)
        if key in self.views:
            return self.views[key]
        self._unique(cls)
        base, writable = "", self.writable(cls)
        inherited: tuple[ir.ViewMember, ...] = ()
        for parent in self.bases(cls):
            if isinstance(parent, ClassDef):
                above = self.view(parent)
                base = qualified(parent) if parent.module.library else above.base
                inherited = above.members
        name = cls.node.name
        params = tuple(
            p.id
            for b in cls.node.bases
            if isinstance(b, ast.Subscript)
            for p in ([b.slice] if isinstance(b.slice, ast.Name) else getattr(b.slice, "elts", []))
            if isinstance(p, ast.Name)
        )
        span = cls.module.source.header(cls.node)
        self.views[key] = ir.View(name, base, params, inherited, span=span)  # a view may name itself
        self.view_keys.setdefault(name, key)
        self.view_methods[name] = dict(self.view_methods.get(base.rpartition(".")[2], {}))
        self.view_modules[name] = cls.module
        members = list(inherited)
        for field_name, annotation, value in self._members(cls):
            secret, annotation = self._secret(cls.module, annotation)
            t = self.type_of(cls.module, annotation)
            if t is not None and (not secret or self._may_be_secret(cls, annotation, t, writable)):
                layout = "" if value is None else ast.unparse(value)
                at = cls.module.source.span(annotation)
                members = [m for m in members if m.name != field_name]
                members.append(
                    ir.ViewMember(field_name, t, writable and not secret, secret, layout=layout, span=at)
                )
        for node in cls.node.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("__"):
                self.view_methods[name][node.name] = node
        self.views[key] = ir.View(name, base, params, tuple(members), self._of(cls), span=span)
        return self.views[key]

    def _secret(self, module: Module, annotation: ast.expr) -> tuple[bool, ast.expr]:
        """Whether a field is `Secret[…]`, and its own type."""
        match annotation:
            case ast.Subscript(value=value, slice=inner):
                match self.binding(module, value):
                    case Surface(name="Secret"):
                        return True, inner
        return False, annotation

    def _may_be_secret(self, cls: ClassDef, at: ast.expr, t: Type, recorded: bool) -> bool:
        if recorded and isinstance(t, TextType):
            return True
        self.diagnostics.error(
            "P052",
            f"{an(t)} cannot be secret" if recorded else f"a field of `{cls.node.name}` cannot be secret",
            cls.module.source.span(at),
            label=f"`{spell(t)}`",
            help="a `Secret[…]` is a field of a message (`transect.rpc.Message`) that is one `str`",
        )
        return False

    def _of(self, cls: ClassDef) -> str:
        """What `class V(Base, of="…")` is a view of, by itself or by the nearest class above."""
        for keyword in cls.node.keywords:
            match keyword:
                case ast.keyword(arg="of", value=ast.Constant(value=str(of))):
                    return of
        return next((of for b in self.bases(cls) if isinstance(b, ClassDef) and (of := self._of(b))), "")

    def writable(self, cls: ClassDef) -> bool:
        """Whether policies may write the members of views derived from the class."""
        return any(k.arg == "writable" for k in cls.node.keywords) or any(
            self.writable(b) for b in self.bases(cls) if isinstance(b, ClassDef)
        )

    def _unique(self, cls: ClassDef) -> None:
        """Report a second class of the same name, since emitted code tells types apart by name."""
        other = self.named.setdefault(cls.node.name, cls)
        if other is not cls:
            self.diagnostics.error(
                "P042",
                f"two classes are named `{cls.node.name}`",
                cls.module.source.header(cls.node),
                label="the second one",
                help="give one of them another name",
            )

    def method(self, cls: ClassDef, name: str) -> ast.FunctionDef | None:
        """The method that stands in the class itself; the first of that name."""
        if id(cls) not in self.methods:
            found: dict[str, ast.FunctionDef] = {}
            for node in cls.node.body:
                if isinstance(node, ast.FunctionDef):
                    found.setdefault(node.name, node)
            self.methods[id(cls)] = found
        return self.methods[id(cls)].get(name)

    def find_view(self, name: str) -> ir.View | None:
        key = self.view_keys.get(name)
        return None if key is None else self.views[key]


EllipsisType = type(Ellipsis)


def qualified(cls: ClassDef) -> str:
    """`rpc.Message` for a stratum's class, the bare name for a shape's or the user's."""
    stratum = cls.module.stratum
    return f"{stratum}.{cls.node.name}" if stratum else cls.node.name


def _how(name: str, close: str | None, otherwise: str) -> str:
    """The help for an unknown name."""
    line = import_of(name)
    return f"import it: `{line}`" if line else f"write `{close}`" if close else otherwise
