# SPDX-License-Identifier: Apache-2.0
"""All (node, type) pairs that the front end can produce: every form of the language with every type that it takes.

Each probe is a helper with one statement.  A first compilation says which are refused; the others make one program.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from tests.fuzz.coverage import pairs
from tests.fuzz.pools import PRELUDE
from transect.core.frontend import compile_text

# A value of each type, and the type as written; state field s_x holds one.
TYPES = {
    "i": ("int", "0"),
    "u": ("u64", "0"),
    "b": ("bool", "False"),
    "f": ("float", "0.5"),
    "x": ("str", "text(5)"),
    "y": ("bytes", "blob(3)"),
    "t": ("Instant", "0"),
    "d": ("Duration", "ns(0)"),
    "e": ("Colour", "Colour.RED"),
    "p": ("Pair", "Pair(a=0)"),
    "n": ("Nest", "Nest(p=Pair(a=0), o=None, c=Colour.RED)"),
    "q": ("tuple[int, bool]", "(0, False)"),
    "z": ("tuple[int, float]", "(0, 0.5)"),
    "w": ("u8", "0"),
}
CLIENT = "c"
KINDS = {"table": "Map", "tally": "Tally", "lru": "Map", "ordered": "Ordered"}
BINARY = ("+", "-", "*", "/", "//", "%", "&", "|", "^", "<<", ">>")
COMPARE = ("==", "!=", "<", "<=", ">", ">=")
LITERALS = {
    "i": "3",
    "u": "3",
    "b": "True",
    "x": "'a'",
    "y": "b'a'",
    "d": "5",
    "t": "5",
    "e": "Colour.RED",
    "w": "7",
}
PARAMS = {
    "i": "0",
    "u": "0",
    "b": "False",
    "f": "0.5",
    "x": "'a'",
    "y": "b'a'",
    "t": "0",
    "d": "ms(1)",
    "e": "Colour.RED",
    "w": "0",
}
TALLIED = "iufdw"  # what a tally may hold
KEYED = "iubxytdeqw"  # what may be a key
DEFAULTS = {
    "i": "0",
    "u": "as_u64(0)",
    "b": "False",
    "f": "0.0",
    "x": "''",
    "y": "b''",
    "t": "now()",
    "d": "ns(0)",
}


def value(letter: str) -> str:
    return {CLIENT: "client", "s": "{v for v in range(3)}"}.get(letter, f"self.s_{letter}")


def fields() -> Iterator[str]:
    for letter, (spelled, first) in TYPES.items():
        yield f"s_{letter}: {spelled} = {first}"
        yield f"o_{letter}: {spelled} | None = None"
        yield f"a_{letter}: Array[{spelled}] = array(2)"
        if letter in PARAMS:
            yield f"m_{letter}: Param[{spelled}] = param({PARAMS[letter]})"
        for kind, wrapper in KINDS.items():
            if kind != "tally" or letter in TALLIED:
                yield f"{kind}_v{letter}: {wrapper}[int, {spelled}] = {kind}(2)"
            if letter in KEYED:
                yield f"{kind}_k{letter}: {wrapper}[{spelled}, int] = {kind}(2)"
    for kind, wrapper in KINDS.items():
        if kind != "ordered":  # clients have no order
            yield f"{kind}_kc: {wrapper}[Client, int] = {kind}(2)"
    yield "o_c: Client | None = None"
    yield "a_o: Array[int | None] = array(2)"
    yield from (
        f"{kind}_vo: {wrapper}[int, int | None] = {kind}(2)"
        for kind, wrapper in KINDS.items()
        if kind != "tally"
    )
    yield from (
        f"{kind}_kv: {wrapper}[int, Client] = {kind}(2)" for kind, wrapper in KINDS.items() if kind != "tally"
    )
    yield "counts: Counter = counter()"
    yield "sizes: Histogram = histogram()"


def statements() -> Iterator[str]:
    letters = [*TYPES, CLIENT, "s"]
    yield from expressions(letters)
    yield from control(letters)
    yield from places()
    yield from tables()
    yield from loops(letters)
    yield from matches()


def expressions(letters: list[str]) -> Iterator[str]:
    for a, b in product(letters, letters):
        if a == b or {a, b} <= set("tdi") or {a, b} == {"u", "i"}:
            yield from (f"x = {value(a)} {op} {value(b)}" for op in BINARY)
    for a in letters:
        v = value(a)
        yield f"x = {v}"
        for op in COMPARE:
            yield f"x = {v} {op} {v}"
        for form in (
            "-{}",
            "~{}",
            "not {}",
            "abs({})",
            "len({})",
            "({}, 1)",
            "fits({}, 3)",
            "rand_below({})",
        ):
            yield "x = " + form.format(v)
        for form in (
            "as_int",
            "as_u64",
            "as_float",
            "ns",
            "us",
            "min({0}, {0})",
            "max({0}, {0})",
            "mul_div({0}, {0}, {0})",
        ):
            yield "x = " + (form.format(v) if "{" in form else f"{form}({v})")
        yield f"x = {v} if self.s_b else {v}"
        yield f"x = {v} < {v} + {v} < {v}"
        yield f"x = {v} in ({v}, {v})"
        yield f"x = {v} in {{{v} for k in range(2)}}"
        yield f"x = {v} in {v}"
        yield f"x = {v}.startswith({v}) or {v}.endswith({v})"
        yield f"trace(f'{{{v}}} a')"
    for letter, literal in LITERALS.items():
        yield f"x = self.s_{letter} == {literal}"
    for literal in ("1.5", "'a'", "b'a'", "True", "Colour.RED", "BIG", "ms(3)"):
        yield f"x = {literal}"
    yield "x = now()"
    yield "x = rand()"
    yield "x = self.s_b and self.s_b or self.s_b"
    yield "x = client in self.waiting"
    yield "x = max(self.waiting, key=lambda k: self.s_i, default=client)"
    yield "if 3 in self.table_kv:\n    x = self.table_kv[3]"
    yield "x = self.table_kv.get(3, client)"
    yield "x = {v for v in range(3)}\ny = x"
    yield "x = Pair(a=self.s_i)\ny = Nest(p=x, o=None, c=self.s_e)"
    yield "x = (self.s_w, self.s_w)\ny = x[0]"
    yield "x = len(self.waiting)"
    yield "x = not self.waiting"
    for part in ("p.a", "p.b", "p.t", "p.f", "n.o", "n.c", "n.d", "n.y", "n.p", "n.n"):
        yield f"x = self.s_{part}"
    yield "x = self.s_q[0]"
    yield "x = self.s_q[1]"
    for t in (
        "(self.s_i, self.s_t, self.s_d)",
        "(self.s_u, self.s_e, self.s_x, self.s_y, self.s_p, self.s_q, self.s_f)",
    ):
        yield f"x = {t}\ny = x[0] == x[0]\nz = x[1] == x[1]\nw = x[2] == x[2]"
    yield "x = (self.s_p, self.s_q, self.s_f)\ny = x[0] == x[0]\nz = x[1] == x[1]\nw = x[2] == x[2]"
    yield "x = (self.s_y, self.o_i, self.o_w)\ny = x[0] == x[0]\nz = x[1] is None\nw = x[2] is None"
    for letter in TYPES:
        if letter in PARAMS:
            yield f"x = self.m_{letter}"


def control(letters: list[str]) -> Iterator[str]:
    yield "pass"
    yield "return"
    yield "self._nothing()"
    yield "if self.s_b:\n    pass"
    yield "for k in range(3):\n    if self.s_b:\n        break\n    continue"
    for a in letters:
        yield f"x = self._same_{a}({value(a)})"
        if a == "s":
            continue
        spelled = "Client" if a == CLIENT else TYPES[a][0]
        yield f"x: {spelled} | None = {value(a)}"
        yield f"x: {spelled} | None = None"
        yield f"x = self.o_{a}\nif x is not None:\n    y = x"
        yield f"x = self.o_{a} is None"
        yield f"x = self._maybe_{a}()"
        yield f"x = self.o_{a} if self.s_b else self.o_{a}"


def helpers() -> Iterator[str]:
    for a in (*TYPES, CLIENT):
        spelled = "Client" if a == CLIENT else TYPES[a][0]
        yield f"def _same_{a}(self, x: {spelled}) -> {spelled}:\n    return x"
        yield f"def _maybe_{a}(self) -> {spelled} | None:\n    return self.o_{a}"
    yield "def _nothing(self) -> None:\n    return"


def places() -> Iterator[str]:
    for a in TYPES:
        v = value(a)
        for place in (f"self.s_{a}", f"self.a_{a}[1]"):
            yield f"{place} = {v}"
            yield f"{place} = min({place}, {v})"
            yield f"{place} = max({place}, {v})"
            yield from augmented(a, place, v)
        yield f"self.o_{a} = {v}"
        yield f"self.o_{a} = None"
        for kind in ("table", "lru", "ordered"):
            yield f"self.{kind}_vo[3] = None"
        yield "self.a_o[1] = None"
    yield "self.o_c = client"
    paths = {"a": "i", "b": "w", "t": "x", "f": "f"}
    nested = {f"p.{k}": v for k, v in paths.items()} | {
        "o": "i",
        "n": "w",
        "c": "e",
        "d": "d",
        "y": "y",
        "p": "p",
    }
    for letter, parts in (("p", paths), ("n", nested)):
        copied = f"x = self.s_{letter}\n"
        for part, a in parts.items():
            for place in (f"self.s_{letter}", f"self.a_{letter}[0]"):
                yield from changes(a, f"{place}.{part}")
            for change in changes(a, f"x.{part}"):
                yield f"{copied}{change}\nself.s_{letter} = x"
            for kind in ("table", "lru", "ordered"):
                for change in changes(a, f"self.{kind}_v{letter}[3].{part}"):
                    yield f"if 3 in self.{kind}_v{letter}:\n    {change}"
    yield "self.counts.add(self.s_i)"
    yield "self.counts.add()"
    yield "self.sizes.observe(self.s_i)"
    yield "self.sizes.observe(self.s_d)"


def changes(letter: str, place: str) -> Iterator[str]:
    yield f"{place} = {value(letter)}"
    yield f"{place} = min({place}, {value(letter)})"
    yield from augmented(letter, place, value(letter))


def augmented(letter: str, place: str, v: str) -> Iterator[str]:
    if letter in "iufdbw":
        yield from (f"{place} {op}= {v}" for op in BINARY)


def tables() -> Iterator[str]:
    for kind in KINDS:
        for a in TALLIED if kind == "tally" else TYPES:
            yield from table(f"self.{kind}_v{a}", "3", value(a))
            yield from entries(a, f"self.{kind}_v{a}", value(a))
        for a in (*KEYED, CLIENT):
            yield from table(f"self.{kind}_k{a}", value(a), "1")
    for a in TYPES:
        yield f"x = self.a_{a}[1]"


def table(t: str, key: str, v: str) -> Iterator[str]:
    yield f"x = {t}[{key}]"
    yield f"if {key} in {t}:\n    x = {t}[{key}]"
    yield f"x = {t}.get({key})"
    yield f"x = {t}.get({key}, {v})"
    yield f"x = {key} in {t}"
    yield f"x = {t}.put({key}, {v})"
    yield f"{t}.put({key}, {v})"
    yield f"x = len({t})"
    yield f"x = {t}.overflow"
    yield f"x = {t}.first()"
    yield f"x = {t}.pop_first()"
    yield f"{t}.pop_first()"
    yield f"{t}[{key}] = {v}"
    yield f"del {t}[{key}]"


def entries(letter: str, t: str, v: str) -> Iterator[str]:
    for change in (
        *augmented(letter, f"{t}[3]", v),
        f"{t}[3] = max({t}[3], {v})",
        f"{t}[3] = min({t}[3], {v})",
    ):
        yield change
        yield f"if 3 in {t}:\n    {change}"


SOURCES = (
    "range(3)",
    "range(3, 0, -1)",
    "{v for v in range(3)}",
    "self.waiting",
    "self.a_i",
    "enumerate(self.a_i)",
    *(f"self.{kind}_vi{part}" for kind in KINDS for part in ("", ".keys()", ".values()", ".items()")),
)


def loops(letters: list[str]) -> Iterator[str]:
    for source in SOURCES:
        two = ".items()" in source or "enumerate" in source
        yield f"for {'k, j' if two else 'k'} in {source}:\n    pass"
        for op in ("sum", "any", "all", "min", "max"):
            inner = "self.s_b" if op in ("any", "all") else "self.s_i"
            yield f"x = {op}(({inner} for {'k, j' if two else 'k'} in {source}){', default=0' if op[0] == 'm' else ''})"
        yield f"x = {{self.s_i for {'k, j' if two else 'k'} in {source} if self.s_b}}"
        if not two:
            for op in ("min", "max"):
                yield f"x = {op}({source}, key=lambda k: self.s_i, default=0)"
                yield f"x = {op}({source}, key=lambda k: self.s_i)"
    for a in letters:
        v = value(a)
        for op in ("min", "max", "sum", "any", "all"):
            yield f"x = {op}({v} for k in range(2))"
            if a in DEFAULTS and op[0] == "m":
                yield f"x = {op}(({v} for k in self.waiting), default={DEFAULTS[a]})"
        for op in ("min", "max"):
            yield f"x = {op}(range(2), key=lambda k: {v})"
            yield f"x = {op}({{{v} for k in range(2)}}, key=lambda k: self.s_i, default={v})"
            yield f"x = {op}(self.a_{a}, key=lambda k: self.s_i, default={v})"
            yield f"x = {op}(({v} for k in self.waiting), default={v})"
        yield f"x = {{{v} for k in range(2)}}"


def matches() -> Iterator[str]:
    for a in TYPES:
        v, o = f"self.s_{a}", f"self.o_{a}"
        yield match(v, "x if self.s_b")
        yield match(o, "None", "x")
        yield match(o, "x if self.s_b")
        if a in LITERALS:
            yield match(v, LITERALS[a])
            yield match(v, f"{LITERALS[a]} | {LITERALS[a]}")
            yield match(o, "None", LITERALS[a])
            yield match(o, f"None | {LITERALS[a]}")
    yield match("self.s_q", "(3, x)", "(x, True)", "(_, _)")
    yield match("self.s_z", "(3, x)", "(_, _)")
    yield match("self.s_p", "Pair(a=3, b=4, t='a', f=x)")
    for part in ("p=Pair(a=1)", "o=None", "o=3", "n=3", "c=Colour.RED", "d=5", "y=b'a'"):
        yield match("self.s_n", f"Nest({part})")


def match(subject: str, *patterns: str) -> str:
    """Each pattern, then the rest, if the last pattern leaves any."""
    rest = () if patterns[-1] == "x" else ("_",)
    return "\n".join([f"match {subject}:", *(f"    case {p}:\n        pass" for p in (*patterns, *rest))])


# ---------------------------------------------------------------- compiling them


def _text(chosen: list[str]) -> tuple[str, list[int]]:
    """The program with one helper for each statement, and the line on which each helper begins."""
    lines = [*PRELUDE.splitlines(), "", "", "class P(Arbiter):", *(f"    {f}" for f in fields()), ""]
    for helper in helpers():
        lines += [f"    {line}" for line in helper.splitlines()] + [""]
    starts = []
    for index, statement in enumerate(chosen):
        starts.append(len(lines) + 1)
        lines += [f"    def _probe{index}(self, client: Client) -> None:"]
        lines += [f"        {line}" for line in statement.splitlines()] + [""]
    lines += ["    def pick(self) -> Client:", "        return min(self.waiting, key=lambda k: self.s_i)", ""]
    lines += ["    def charge(self, client: Client, cost: int) -> None:", "        pass"]
    lines += [f"        self._probe{index}(client)" for index in range(len(chosen))]
    return "\n".join(lines) + "\n", starts


PART = 400  # probes in one text: the front end bounds a file's size


def accepted() -> list[list[str]]:
    """The statements that the front end takes, as many in one list as one text may hold."""
    chosen = list(dict.fromkeys(statements()))
    return [_accepted(chosen[at : at + PART]) for at in range(0, len(chosen), PART)]


def _accepted(chosen: list[str]) -> list[str]:
    text, starts = _text(chosen)
    lines = {d.span.line for d in compile_text(text).diagnostics if d.is_error}
    assert not lines or min(lines) >= starts[0], "the probes' own fields are wrong"
    ends = [*starts[1:], 10**9]
    return [
        s for s, a, b in zip(chosen, starts, ends, strict=True) if not any(a <= line < b for line in lines)
    ]


def producible() -> set[str]:
    """The pairs of all probes that the front end takes."""
    found: set[str] = set()
    for part in accepted():
        compiled = compile_text(_text(part)[0])
        assert compiled.programs, [f"{d.span.line}: {d.message}" for d in compiled.diagnostics][:5]
        found |= pairs(compiled.programs[0])
    return found
