# SPDX-License-Identifier: Apache-2.0
"""Random elements over the views of `elements.py`: legal text which reads and assigns every kind of field."""

from __future__ import annotations

import random
from collections.abc import Callable

STATE = """    n: int = 0
    m: int = 5
    h: u64 = 3
    f: float = 0.5
    s: str = text(12)
    b: bytes = blob(40)
    on: bool = False
    hue: Colour = Colour.RED
    seen: Tally[str, int] = tally(6)
    known: Map[int, bytes] = table(4)
    mine: Local[int] = local(2)
"""

READS = {
    "int": [
        "ask.i32",
        "ask.i64",
        "ask.u32",
        "ask.who.age",
        "len(ask.user)",
        "len(ask.tags)",
        "len(ask.prices)",
        "len(ask.blob)",
    ],
    "u64": ["ask.u64", "self.h"],
    "float": ["ask.flt", "ask.dbl", "self.f"],
    "str": ["ask.user", "ask.who.name", "self.s"],
    "bytes": ["ask.blob", "self.b", "rpc.body"],
    "bool": ["ask.flag", "self.on"],
    "hue": ["ask.colour", "self.hue"],
}
STATES = {
    "int": ["self.n", "self.m", "self.mine"],
    "u64": ["self.h"],
    "float": ["self.f"],
    "str": ["self.s"],
    "bytes": ["self.b"],
    "bool": ["self.on"],
    "hue": ["self.hue"],
}
FIELDS = {
    "int": ["ask.i32", "ask.i64", "ask.u32", "ask.who.age", "ask.maybe", "ask.count"],
    "u64": ["ask.u64"],
    "float": ["ask.flt", "ask.dbl"],
    "str": ["ask.user", "ask.who.name", "ask.who.mail", "ask.nick", "ask.word"],
    "bytes": ["ask.blob"],
    "bool": ["ask.flag"],
    "hue": ["ask.colour", "ask.tint"],
}
CLEARED = ["ask.maybe", "ask.nick", "ask.tint", "ask.word", "ask.count", "ask.who.mail"]
OPTIONS = {
    "ask.maybe": "int",
    "ask.count": "int",
    "ask.nick": "str",
    "ask.word": "str",
    "ask.who.mail": "str",
    "ask.tint": "hue",
}


class Writer:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.lines: list[str] = []
        self.names = 0
        self.bound: dict[str, list[str]] = {kind: [] for kind in READS}
        self.reads = {kind: [*READS[kind]] for kind in READS}

    def fresh(self) -> str:
        self.names += 1
        return f"v{self.names}"

    # ------------------------------------------------------------ expressions

    def expr(self, kind: str, depth: int = 2) -> str:
        leaves = [*self.reads[kind], *self.bound[kind], *STATES[kind][:2]]
        if depth == 0 or self.random.random() < 0.35:
            return self.random.choice([*leaves, self.literal(kind)])
        makers: dict[str, Callable[[int], str]] = {
            "int": self._int,
            "u64": self._u64,
            "float": self._float,
            "str": self._str,
            "bytes": lambda d: self.random.choice(leaves),
            "bool": self._bool,
            "hue": self._hue,
        }
        return makers[kind](depth - 1)

    def literal(self, kind: str) -> str:
        rng = self.random
        match kind:
            case "int":
                return str(rng.choice((0, 1, -1, 7, 300, 2**31, -(2**62), 2**63 - 1)))
            case "u64":
                return str(rng.choice((0, 1, 2**63, 2**64 - 1)))
            case "float":
                return rng.choice(("0.0", "1.5", "-2.25", "1e300"))
            case "str":
                return rng.choice(
                    ('""', '"a"', '"bob"', '"grün"', '"a text of many bytes, too long to be kept"')
                )
            case "bytes":
                return rng.choice(('b""', 'b"x"', 'b"0123456789"'))
            case "bool":
                return rng.choice(("True", "False"))
            case _:
                return rng.choice(("Colour.RED", "Colour.GREEN"))

    def _int(self, d: int) -> str:
        rng = self.random
        a, b = self.expr("int", d), self.expr("int", d)
        return rng.choice(
            (
                f"({a} {rng.choice(('+', '-', '*', '//', '%', '&', '^'))} {b})",
                f"{rng.choice(('min', 'max'))}({a}, {b})",
                f"sum({self._numbers()})",
                f"len({self.expr('str', d)})",
                f"ask.prices.get({self.expr('str', d)}, {a})",
                f"self.seen[{self.expr('str', d)}]",
                f"({a} if {self.expr('bool', d)} else {b})",
                f"as_int({self.expr('hue', d)})",
            )
        )

    def _numbers(self) -> str:
        return self.random.choice(
            ("ask.numbers", "(item.price for item in ask.items)", "(n * 3 for n in ask.numbers if n > 4)")
        )

    def _u64(self, d: int) -> str:
        return f"({self.expr('u64', d)} {self.random.choice(('+', '^', '*', '|'))} {self.expr('u64', d)})"

    def _float(self, d: int) -> str:
        a = self.expr("float", d)
        return self.random.choice(
            (
                f"({a} {self.random.choice('+-*/')} {self.expr('float', d)})",
                f"as_float({self.expr('int', d)})",
                f"max({a}, 0.5)",
            )
        )

    def _str(self, d: int) -> str:
        a, b = self.expr("str", d), self.expr("str", d)
        return self.random.choice(
            (
                f"({a} if {self.expr('bool', d)} else {b})",
                f"ask.names.get({self.expr('int', d)}, {a})",
                f"min({a}, {b})",
            )
        )

    def _bool(self, d: int) -> str:
        rng = self.random
        kind = rng.choice(("int", "str", "float", "u64", "bytes"))
        left = (
            rng.choice(self.reads[kind]) if kind == "u64" else self.expr(kind, d)
        )  # a literal has its type from it
        order = f"{left} {rng.choice(('<', '<=', '==', '!=', '>', '>='))} {self.expr(kind, d)}"
        return rng.choice(
            (
                f"({order})",
                f"({self.expr('bool', d)} {rng.choice(('and', 'or'))} {self.expr('bool', d)})",
                f"(not {self.expr('bool', d)})",
                f"({self.expr('str', d)} in {rng.choice(('ask.tags', 'ask.prices', 'ask.stock'))})",
                f"({self.expr('int', d)} in {rng.choice(('ask.numbers', 'ask.names'))})",
                f"{self.expr('str', d)}.startswith({self.expr('str', d)})",
                f"any(len(tag) > {rng.randrange(4)} for tag in ask.tags)",
                f"({rng.choice(list(OPTIONS))} is {rng.choice(('', 'not '))}None)",
                "(ask.deputy is None)",
            )
        )

    def _hue(self, d: int) -> str:
        return f"({self.expr('hue', d)} if {self.expr('bool', d)} else {self.expr('hue', d)})"

    # ------------------------------------------------------------ statements

    def block(self, indent: str, size: int, depth: int) -> None:
        outer = {kind: list(names) for kind, names in self.bound.items()}
        for _ in range(size):
            self.statement(indent, depth)
        self.bound = outer  # names bound in a block are not known after it

    def statement(self, indent: str, depth: int) -> None:
        rng, emit = self.random, self.lines.append
        kind = rng.choice(list(READS))
        roll = rng.random()
        if roll < 0.35:
            emit(f"{indent}{rng.choice(FIELDS[kind])} = {self.expr(kind)}")
        elif roll < 0.5:
            emit(f"{indent}{rng.choice(STATES[kind])} = {self.expr(kind)}")
        elif roll < 0.55:
            emit(f"{indent}{rng.choice(CLEARED)} = None")
        elif roll < 0.6:
            emit(f"{indent}self.seen[{self.expr('str', 1)}] += {self.expr('int', 1)}")
        elif roll < 0.64:
            emit(f"{indent}self.known[{self.expr('int', 1)}] = {self.expr('bytes', 1)}")
        elif roll < 0.7:
            name = self.fresh()
            emit(f"{indent}{name} = {self.expr(kind)}")
            self.bound[kind].append(name)
        elif depth > 0:
            self._nested(indent, depth - 1)
        else:
            emit(f"{indent}self.n += {self.expr('int', 1)}")

    def _nested(self, indent: str, depth: int) -> None:
        rng, emit, deeper = self.random, self.lines.append, indent + "    "
        match rng.randrange(6):
            case 0 | 1:
                emit(f"{indent}if {self.expr('bool')}:")
                self.block(deeper, rng.randrange(1, 3), depth)
                if rng.random() < 0.5:
                    emit(f"{indent}else:")
                    self.block(deeper, rng.randrange(1, 3), depth)
            case 2:
                option = rng.choice(list(OPTIONS))
                name = self.fresh()
                emit(f"{indent}{name} = {option}")
                emit(f"{indent}if {name} is not None:")
                self._with(OPTIONS[option], name, deeper, depth)
            case 3:
                name = self.fresh()
                emit(f"{indent}{name} = ask.deputy")
                emit(f"{indent}if {name} is not None:")
                assigned = (f"age = {self.expr('int', 1)}", f"name = {self.expr('str', 1)}", "mail = None")
                emit(f"{deeper}{name}.{rng.choice(assigned)}")
                emit(f"{deeper}self.n += {name}.age + len({name}.name)")
            case 4:
                name = self.fresh()
                over, kind = rng.choice(
                    (
                        ("ask.tags", "str"),
                        ("ask.numbers", "int"),
                        ("ask.prices", "str"),
                        ("ask.names.values()", "str"),
                        ("ask.colours", "hue"),
                    )
                )
                emit(f"{indent}for {name} in {over}:")
                self._with(kind, name, deeper, depth)
            case _:
                item = self.fresh()
                emit(f"{indent}for {item} in ask.items:")
                emit(f"{deeper}self.m += {item}.price + len({item}.owner.name)")
                emit(f"{deeper}if {item}.sku == {self.expr('str', 1)}:")
                emit(f"{deeper}    break")

    def _with(self, kind: str, name: str, indent: str, depth: int) -> None:
        self.bound[kind].append(name)
        self.block(indent, self.random.randrange(1, 3), depth)
        self.bound[kind].remove(name)

    def verdict(self, indent: str, reply: bool) -> None:
        rng, emit = self.random, self.lines.append
        if rng.random() < 0.3:
            emit(f"{indent}if {self.expr('bool')}:")
            made = rng.choice(
                (
                    f"Reject(Code.ABORTED, {self.expr('str', 1)})",
                    f"Forward(after=ns({self.expr('int', 1)}))",
                    *(() if reply else ("Respond(self.b)",)),
                )
            )
            emit(f"{indent}    return {made}")
        emit(f"{indent}return Forward()")


def element(seed: int, name: str) -> str:
    """The text of one element."""
    writer = Writer(seed)
    rng, emit, indent = writer.random, writer.lines.append, "        "
    emit("    def request(self, rpc: Rpc[Ask, Answer]) -> Verdict:")
    emit(f"{indent}ask = rpc.msg")
    writer.block(indent, rng.randrange(2, 7), 2)
    writer.verdict(indent, reply=False)
    emit("")
    emit("    def response(self, rpc: Rpc[Ask, Answer]) -> Verdict:")
    emit(f"{indent}ask = rpc.msg")
    emit(f"{indent}reply = rpc.reply")
    for kind, field in (("str", "text"), ("int", "cost")):
        writer.reads[kind].append(f"reply.{field}")
        emit(f"{indent}if {writer.expr('bool')}:")
        emit(f"{indent}    reply.{field} = {writer.expr(kind)}")
    writer.verdict(indent, reply=True)
    emit("")
    emit("    def finish(self, rpc: Rpc[Ask, Answer], outcome: Outcome) -> Retry | None:")
    emit(f"{indent}ask = rpc.msg")
    emit(f"{indent}reply = rpc.reply")
    emit(f"{indent}self.n = {writer.expr('int')}")
    emit(f"{indent}self.s = {writer.expr('str')}")
    emit(f"{indent}return Retry() if {writer.expr('bool')} else None")
    body = "\n".join(writer.lines)
    return f'\n\nclass {name}(Element):\n    """Random, {seed}."""\n{STATE}\n{body}\n'
