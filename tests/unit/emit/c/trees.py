# SPDX-License-Identifier: Apache-2.0
"""Random C trees, for the printer: every node of emit/c/tree.py that is C to pycparser: no preprocessor or comments."""

from __future__ import annotations

from hypothesis import strategies as st

from transect.emit.c import tree as c

NAMES = st.sampled_from(["a", "b", "self", "table", "x1"])
MEMBERS = st.sampled_from(["m", "size", "next_one"])
TAGS = st.sampled_from(["point", "p_state"])


def _types(inner: st.SearchStrategy[c.CType]) -> st.SearchStrategy[c.CType]:
    lengths = st.one_of(st.none(), st.builds(c.Integer, st.integers(1, 9)))
    # C has no arrays of functions, no functions that return arrays or functions.
    items = inner.filter(lambda t: not isinstance(t, c.FunctionType) and t != c.VOID)
    results = inner.filter(lambda t: not isinstance(t, c.FunctionType | c.ArrayOf))
    arguments = items.filter(lambda t: not isinstance(t, c.ArrayOf))
    return st.one_of(
        st.builds(c.Pointer, inner, st.booleans()),
        st.builds(c.ArrayOf, items, lengths),
        st.builds(c.FunctionType, results, st.lists(arguments, max_size=2).map(tuple)),
    )


PLAIN: st.SearchStrategy[c.CType] = st.one_of(
    st.builds(c.Named, st.sampled_from(["int64_t", "bool", "ts_slice", "double"]), st.booleans()),
    st.builds(c.StructType, TAGS, st.booleans(), st.booleans()),
)
TYPES = st.recursive(PLAIN, _types, max_leaves=4)
VALUES = TYPES.filter(lambda t: not isinstance(t, c.FunctionType))  # types of variables
SCALARS = st.recursive(PLAIN, lambda t: st.builds(c.Pointer, t, st.booleans()), max_leaves=3)

_LEAVES: st.SearchStrategy[c.Expr] = st.one_of(
    st.builds(c.Name, NAMES),
    st.builds(c.Integer, st.integers(0, 2**63 - 1), st.sampled_from(["", "u", "ll", "ull"])),
    st.builds(c.Integer, st.integers(2**63, 2**64 - 1), st.sampled_from(["u", "ull"])),
    st.builds(c.Real, st.floats(min_value=0, allow_nan=False, allow_infinity=False)),
    st.builds(c.String, st.binary(max_size=6)),
    st.builds(c.SizeOf, SCALARS),
)
BINARY = ["||", "&&", "|", "^", "&", "==", "!=", "<", ">", "<=", ">=", "<<", ">>", "+", "-", "*", "/", "%"]


def _braces(inner: st.SearchStrategy[c.Expr]) -> st.SearchStrategy[c.Braces]:
    def level(items: st.SearchStrategy[c.Init]) -> st.SearchStrategy[c.Braces]:
        named = st.tuples(st.one_of(st.none(), MEMBERS), items)
        return st.lists(named, min_size=1, max_size=3).map(lambda found: c.Braces(tuple(found)))

    return level(st.one_of(inner, level(inner)))


def _expressions(inner: st.SearchStrategy[c.Expr]) -> st.SearchStrategy[c.Expr]:
    return st.one_of(
        st.builds(c.Unary, st.sampled_from(["-", "~", "!", "*", "&", "++", "--"]), inner),
        st.builds(c.Postfix, st.sampled_from(["++", "--"]), inner),
        st.builds(c.Binary, st.sampled_from(BINARY), inner, inner),
        st.builds(c.Assign, st.sampled_from(["=", "+=", "|=", "<<="]), inner, inner),
        st.builds(c.Ternary, inner, inner, inner),
        st.builds(c.Call, inner, st.lists(inner, max_size=3).map(tuple)),
        st.builds(c.Member, inner, MEMBERS, st.booleans()),
        st.builds(c.Index, inner, inner),
        st.builds(c.Cast, SCALARS, inner),
        st.builds(c.SizeOfValue, inner),
        st.builds(c.Compound, VALUES, _braces(inner)),
    )


EXPRESSIONS = st.recursive(_LEAVES, _expressions, max_leaves=8)
INITS: st.SearchStrategy[c.Init] = st.one_of(EXPRESSIONS, _braces(EXPRESSIONS))
VARIABLES = st.builds(c.Var, NAMES, VALUES, st.one_of(st.none(), INITS), st.booleans())
MEMBER_VARS = st.builds(c.Var, MEMBERS, VALUES)
SHORT = st.recursive(_LEAVES, _expressions, max_leaves=3)


def _blocks(inner: st.SearchStrategy[c.Stmt]) -> st.SearchStrategy[c.Block]:
    return st.lists(inner, max_size=3).map(lambda body: c.Block(tuple(body)))


def _ifs(inner: st.SearchStrategy[c.Stmt]) -> st.SearchStrategy[c.If]:
    block = _blocks(inner)
    last = st.builds(c.If, SHORT, block, st.one_of(st.none(), block))
    return st.builds(c.If, SHORT, block, st.one_of(st.none(), block, last))


def _compound(inner: st.SearchStrategy[c.Stmt]) -> st.SearchStrategy[c.Stmt]:
    block = _blocks(inner)
    maybe = st.one_of(st.none(), SHORT)
    # C11 wants a statement behind `case`, not a declaration.
    bodies = st.tuples(inner.filter(lambda s: not isinstance(s, c.Var)), inner)
    arms = st.builds(c.Arm, SHORT, bodies)
    default = st.builds(c.Arm, st.none(), st.just((c.Break(),)))
    return st.one_of(
        block,
        _ifs(inner),
        st.builds(c.For, st.one_of(st.none(), SHORT, VARIABLES), maybe, maybe, block),
        st.builds(c.While, SHORT, block),
        st.builds(c.Switch, SHORT, st.tuples(arms, arms, default)),
    )


_SIMPLE: st.SearchStrategy[c.Stmt] = st.one_of(
    st.builds(c.Do, EXPRESSIONS),
    st.builds(c.Return, st.one_of(st.none(), EXPRESSIONS)),
    st.just(c.Break()),
    st.just(c.Continue()),
    VARIABLES,
)
STATEMENTS = st.recursive(_SIMPLE, _compound, max_leaves=6)
PARAMS = st.lists(st.builds(c.Var, NAMES, SCALARS), max_size=3, unique_by=lambda v: v.name).map(tuple)
RESULTS = st.one_of(SCALARS, st.just(c.VOID))
FUNCTIONS = st.builds(
    c.Function,
    NAMES,
    RESULTS,
    PARAMS,
    st.one_of(st.none(), _blocks(STATEMENTS)),
    st.sampled_from(["", "static", "extern", "static inline"]),
)
STRUCTS = st.builds(
    c.Struct,
    TAGS,
    st.lists(MEMBER_VARS, min_size=1, max_size=3, unique_by=lambda v: v.name).map(tuple),
    st.booleans(),
)
DECLARATIONS = st.one_of(STRUCTS, FUNCTIONS, VARIABLES)
