# SPDX-License-Identifier: Apache-2.0
"""Terms to z3, and z3's values back.

A first question treats multiplication, division, arithmetic of floats and all questions about texts except equality as
unknown functions, at which z3 is fast; a proof of it is a proof.  A model of it may be impossible; a correction then
tells z3 the real result of an operator for the operands that the model chose.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from transect.analysis.allowance import tick
from transect.analysis.fold import IS_NUMBER, NUMBER
from transect.analysis.specialise import rebuilt
from transect.analysis.terms import HARD, TEXTUAL, Op, Sort, Term, integer, number, walk
from transect.analysis.text_predicates import TextPredicate

_CONSTANTS: Mapping[Sort, Callable[[Any], Term]] = {Sort.INT: integer, Sort.FLOAT: number}  # of operands

_MAKERS: Mapping[Op, str] = {
    Op.NOT: "Z3_mk_not",
    Op.ITE: "Z3_mk_ite",
    Op.EQ: "Z3_mk_eq",  # of floats: the same datum, all NaN being one
    Op.ADD: "Z3_mk_bvadd",
    Op.SUB: "Z3_mk_bvsub",
    Op.MUL: "Z3_mk_bvmul",
    Op.BITAND: "Z3_mk_bvand",
    Op.BITOR: "Z3_mk_bvor",
    Op.XOR: "Z3_mk_bvxor",
    Op.LT_S: "Z3_mk_bvslt",
    Op.LT_U: "Z3_mk_bvult",
    Op.LT_F: "Z3_mk_fpa_lt",
    Op.EQ_F: "Z3_mk_fpa_eq",
    Op.NEG_F: "Z3_mk_fpa_neg",
}
"""Operators that z3 has.  They are made by its C functions: the operators of z3's Python classes look at the sorts of
all operands again and again, which took longer than the answers (a term is of its sorts by its making)."""
_JUNCTIONS: Mapping[Op, str] = {Op.AND: "Z3_mk_and", Op.OR: "Z3_mk_or"}


class Translation:
    """z3 expressions for terms; each made once."""

    def __init__(self, z3: Any, exact: bool, texts: bool) -> None:
        self.z3 = z3
        self.exact = exact
        self.texts = texts
        self._made: dict[Term, Any] = {}
        self._functions: dict[tuple[str, tuple[Sort, ...], Sort], Any] = {}
        self._sorts = {
            Sort.BOOL: z3.BoolSort(),
            Sort.INT: z3.BitVecSort(64),
            Sort.FLOAT: z3.Float64(),
            Sort.TEXT: z3.StringSort() if texts else z3.DeclareSort("Text"),
            Sort.OPAQUE: z3.DeclareSort("Opaque"),
        }
        self._context = z3.main_ctx()
        self._classes = {
            Sort.BOOL: z3.BoolRef,
            Sort.INT: z3.BitVecRef,
            Sort.FLOAT: z3.FPRef,
            Sort.TEXT: z3.SeqRef if texts else z3.ExprRef,
            Sort.OPAQUE: z3.ExprRef,
        }
        self._texts: dict[bytes, Any] = {}  # constants of an abstract question
        self.facts: list[Any] = []  # facts about the operators that are treated as unknown
        self._rounding = z3.RNE()

    def of(self, term: Term) -> Any:
        found = self._made.get(term)
        if found is None:
            for below in walk(term):
                if below not in self._made:
                    self._made[below] = self._one(below, [self._made[a] for a in below.args])
            found = self._made[term]
        return found

    def _one(self, term: Term, args: list[Any]) -> Any:
        if term.op is Op.CONST:
            return self._constant(term)
        if term.op is Op.VAR:
            return self.z3.Const(f"{term.data} {term.sort}", self._sorts[term.sort])
        if term.op is Op.FUNCTION:
            return self._applied(str(term.data), term, args)
        if term.op in HARD and not self.exact:
            return self._hard(term, args)
        if term.op in TEXTUAL and not self.texts:
            return self._textual(term, args)
        if term.op is Op.IS and term.data.language is None:
            return self._applied(f"is {term.data.name}", term, args)
        if term.op is Op.LT_T:
            # z3 4.16 takes "" < "\0" for false: it is not asked about the order of texts.
            return self._applied("op lt_t", term, args)
        if term.op in _MAKERS:
            return self._wrapped(_MAKERS[term.op], term.sort, *(a.ast for a in args))
        if term.op in _JUNCTIONS:
            return self._wrapped(_JUNCTIONS[term.op], term.sort, len(args), self._array(args))
        rule = getattr(self, f"_{term.op.value}")
        return rule(*args) if term.data is None else rule(*args, term.data)

    # ------------------------------------------------------------ abstract questions

    def _hard(self, term: Term, args: list[Any]) -> Any:
        """An operator as an unknown function, with a few facts that always hold for it."""
        z3 = self.z3
        value = self._applied(f"op {term.op}", term, args)
        if term.sort is Sort.INT and len(args) == 2:
            a, b = args
            match term.op:
                case Op.MUL:
                    self.facts += [
                        z3.Implies(z3.Or(a == 0, b == 0), value == 0),
                        z3.Implies(b == 1, value == a),
                    ]
                    self.facts.append(z3.Implies(a == 1, value == b))
                case Op.FLOORDIV_S | Op.FLOORDIV_U:
                    self.facts.append(z3.Implies(z3.Or(a == 0, b == 0), value == 0))
                    self.facts.append(z3.Implies(z3.And(a >= 0, b > 0), z3.And(value >= 0, value <= a)))
                    self.facts.append(z3.Implies(z3.And(a >= 0, b > a), value == 0))
                case _:
                    self.facts.append(z3.Implies(z3.And(a >= 0, b > a), value == a))
        return value

    def corrections(self, model: Any) -> list[Any]:
        """The real results of hard operators for the operands in a model, where the model has another value."""
        z3 = self.z3
        found = []
        for term, made in self._made.items():
            if term.op not in HARD:
                continue
            tick()
            operands = [model.eval(self._made[a], model_completion=True) for a in term.args]
            values = [
                _CONSTANTS[a.sort](self.plain(o, a.sort)) for a, o in zip(term.args, operands, strict=True)
            ]
            result = self._constant(rebuilt(term, values))
            if not z3.is_true(model.eval(made == result, model_completion=True)):
                same = [self._made[a] == self._constant(v) for a, v in zip(term.args, values, strict=True)]
                found.append(z3.Implies(z3.And(*same), made == result))
        return found

    def _textual(self, term: Term, args: list[Any]) -> Any:
        """Lengths are separate numbers; every other question about a text is an unknown function."""
        if term.op in (Op.LENGTH, Op.FITS):
            size = self._size(args[0])
            return size if term.op is Op.LENGTH else size <= self.z3.BitVecVal(term.data, 64)
        if term.op is Op.IS:
            return self._applied(f"is {term.data.name}", term, args)
        return self._applied(f"op {term.op}", term, args)

    def predicates(self) -> list[tuple[TextPredicate, Any]]:
        """Those that are asked and unknown to the solver, by name, with z3's functions."""
        asked = {t.data.name: t for t in self._made if t.op is Op.IS}
        found = [
            (t.data, self._functions.get((f"is {name}", (Sort.TEXT,), Sort.BOOL)))
            for name, t in asked.items()
        ]
        return sorted(((p, f) for p, f in found if f is not None), key=lambda one: one[0].name)

    def numbers(self) -> tuple[Any, Any] | None:
        """z3's functions for whether a text is a number, and which; None where nobody asked whether it is."""
        is_one, which = (
            self._functions.get((name, (Sort.TEXT,), sort))
            for name, sort in ((IS_NUMBER, Sort.BOOL), (NUMBER, Sort.INT))
        )
        if is_one is None:
            return None
        kinds = self._sorts[Sort.TEXT], self._sorts[Sort.INT]
        return is_one, self.z3.Function(NUMBER, *kinds) if which is None else which

    def _size(self, value: Any) -> Any:
        of = self.z3.Function("length", self._sorts[Sort.TEXT], self._sorts[Sort.INT])
        size = of(value)
        self.facts.append(size >= 0)
        return size

    def text_constants(self) -> tuple[dict[bytes, Any], Any]:
        of = self.z3.Function("length", self._sorts[Sort.TEXT], self._sorts[Sort.INT])
        return self._texts, of

    def measured(self) -> bool:
        """Whether the question is about the length of some text."""
        return any(t.op in (Op.LENGTH, Op.FITS) for t in self._made)

    def known_facts(self) -> list[Any]:
        """What else an abstract question knows: constants differ and are as they are, no text is within a shorter."""
        z3 = self.z3
        found = list(self.facts)
        if len(self._texts) > 1:
            found.append(z3.Distinct(*self._texts.values()))
        for predicate, function in self.predicates():
            found += [function(e) == predicate.holds(data) for data, e in self._texts.items()]
        if self.measured():
            of = z3.Function("length", self._sorts[Sort.TEXT], self._sorts[Sort.INT])
            found += [of(e) == len(data) for data, e in self._texts.items()]
            found += [
                z3.Implies(self._made[t], of(self._made[t.args[1]]) <= of(self._made[t.args[0]]))
                for t in self._made
                if t.op in (Op.PREFIX, Op.SUFFIX, Op.CONTAINS)
            ]
            for predicate, function in self.predicates():
                asked = [self._made[t.args[0]] for t in self._made if t.op is Op.IS and t.data == predicate]
                found += [z3.Implies(of(e) == 0, function(e) == predicate.holds(b"")) for e in asked]
            if b"" in self._texts:
                empty = self._texts[b""]
                found += [
                    z3.Implies(of(e) == 0, e == empty)
                    for t, e in self._made.items()
                    if t.sort is Sort.TEXT and t.op in (Op.VAR, Op.FUNCTION)
                ]
        return found

    def _applied(self, name: str, term: Term, args: list[Any]) -> Any:
        """An unknown function of the arguments."""
        sorts = tuple(a.sort for a in term.args)
        key = (name, sorts, term.sort)
        if key not in self._functions:
            kinds = [self._sorts[s] for s in sorts]
            mark = f"{name} {' '.join(s.value for s in sorts)} {term.sort}"
            self._functions[key] = self.z3.Function(mark, *kinds, self._sorts[term.sort])
        function = self._functions[key]
        return self._wrapped("Z3_mk_app", term.sort, function.ast, len(args), self._array(args))

    def _wrapped(self, maker: str, sort: Sort, *operands: Any) -> Any:
        """What a C function of z3 makes, as an object of z3's class for the sort."""
        made = getattr(self.z3.z3core, maker)(self._context.ref(), *operands)
        return self._classes[sort](made, self._context)

    def _array(self, args: list[Any]) -> Any:
        return (self.z3.Ast * len(args))(*(a.ast for a in args))

    def _constant(self, term: Term) -> Any:
        z3 = self.z3
        match term.sort:
            case Sort.BOOL:
                return z3.BoolVal(term.data)
            case Sort.INT:
                return z3.BitVecVal(term.data, 64)
            case Sort.FLOAT:
                return _float_constant(z3, term.data)
            case Sort.OPAQUE:
                return z3.Const(f"opaque {term.data}", self._sorts[Sort.OPAQUE])
            case Sort.TEXT if not self.texts:
                made = z3.Const(f"text {term.data!r}", self._sorts[Sort.TEXT])
                return self._texts.setdefault(term.data, made)
            case Sort.TEXT:
                # One character for each byte; z3 reads \u{…} as an escape.
                return z3.StringVal("".join(f"\\u{{{b:x}}}" for b in term.data))

    def terms(self) -> Iterable[Term]:
        """Every term that was translated."""
        return self._made.keys()

    # ------------------------------------------------------------ truth

    # ------------------------------------------------------------ integers

    def _floordiv_s(self, a: Any, b: Any) -> Any:
        """Towards minus infinity; z3 goes towards zero, and has another answer for zero."""
        z3 = self.z3
        quotient, rest = a / b, z3.SRem(a, b)
        low = z3.And(rest != 0, (a < 0) != (b < 0))
        return z3.If(b == 0, z3.BitVecVal(0, 64), z3.If(low, quotient - 1, quotient))

    def _floordiv_u(self, a: Any, b: Any) -> Any:
        return self.z3.If(b == 0, self.z3.BitVecVal(0, 64), self.z3.UDiv(a, b))

    def _mod_s(self, a: Any, b: Any) -> Any:
        z3 = self.z3
        rest = z3.SRem(a, b)
        return z3.If(b == 0, a, z3.If(z3.And(rest != 0, (rest < 0) != (b < 0)), rest + b, rest))

    def _mod_u(self, a: Any, b: Any) -> Any:
        return self.z3.If(b == 0, a, self.z3.URem(a, b))

    def _shl(self, a: Any, count: Any) -> Any:
        return a << (count & 63)

    def _shr_s(self, a: Any, count: Any) -> Any:
        return a >> (count & 63)

    def _shr_u(self, a: Any, count: Any) -> Any:
        return self.z3.LShR(a, count & 63)

    def _narrow(self, a: Any, data: tuple[int, bool]) -> Any:
        bits, signed = data
        low = self.z3.Extract(bits - 1, 0, a)
        return self.z3.SignExt(64 - bits, low) if signed else self.z3.ZeroExt(64 - bits, low)

    # ------------------------------------------------------------ floats

    def _add_f(self, a: Any, b: Any) -> Any:
        return self.z3.fpAdd(self._rounding, a, b)

    def _sub_f(self, a: Any, b: Any) -> Any:
        return self.z3.fpSub(self._rounding, a, b)

    def _mul_f(self, a: Any, b: Any) -> Any:
        return self.z3.fpMul(self._rounding, a, b)

    def _div_f(self, a: Any, b: Any) -> Any:
        return self.z3.fpDiv(self._rounding, a, b)

    def _int_to_f(self, a: Any) -> Any:
        return self.z3.fpSignedToFP(self._rounding, a, self.z3.Float64())

    def _uint_to_f(self, a: Any) -> Any:
        return self.z3.fpUnsignedToFP(self._rounding, a, self.z3.Float64())

    def _f_to_int(self, a: Any) -> Any:
        z3 = self.z3
        inside = z3.fpToSBV(z3.RTZ(), a, z3.BitVecSort(64))
        return self._saturated(a, inside, -(2.0**63), -(2**63), 2.0**63, 2**63 - 1)

    def _f_to_uint(self, a: Any) -> Any:
        z3 = self.z3
        inside = z3.fpToUBV(z3.RTZ(), a, z3.BitVecSort(64))
        return self._saturated(a, inside, 0.0, 0, 2.0**64, 2**64 - 1)

    def _saturated(self, a: Any, inside: Any, low: float, least: int, high: float, most: int) -> Any:
        z3 = self.z3
        below, above = z3.fpLT(a, z3.FPVal(low, z3.Float64())), z3.fpGEQ(a, z3.FPVal(high, z3.Float64()))
        limited = z3.If(above, z3.BitVecVal(most, 64), z3.If(below, z3.BitVecVal(least, 64), inside))
        return z3.If(z3.fpIsNaN(a), z3.BitVecVal(0, 64), limited)

    # ------------------------------------------------------------ texts

    def _length(self, a: Any) -> Any:
        return self.z3.Int2BV(self.z3.Length(a), 64)

    def _fits(self, a: Any, size: int) -> Any:
        return self.z3.Length(a) <= size

    def _prefix(self, a: Any, b: Any) -> Any:
        return self.z3.PrefixOf(b, a)

    def _suffix(self, a: Any, b: Any) -> Any:
        return self.z3.SuffixOf(b, a)

    def _contains(self, a: Any, b: Any) -> Any:
        return self.z3.Contains(a, b)

    def _is(self, a: Any, predicate: TextPredicate) -> Any:
        assert predicate.language is not None, "else it is an unknown function"
        return self.z3.InRe(a, predicate.language(self.z3))

    # ------------------------------------------------------------ models

    def plain_texts(self) -> list[Any]:
        """That texts which were asked about are of printable ASCII; those that a predicate asks about, of any ASCII."""
        z3 = self.z3
        printable, ascii_ = z3.Star(z3.Range("!", "~")), z3.Star(z3.Range(" ", chr(127)))
        such = {t.args[0] for t in self._made if t.op is Op.IS}
        unknown = [t for t in self._made if t.op in (Op.VAR, Op.FUNCTION) and t.sort is Sort.TEXT]
        return [z3.InRe(self._made[t], ascii_ if t in such else printable) for t in unknown]

    def plain(self, found: Any, sort: Sort) -> bool | int | float | bytes:
        """A z3 value as a plain one."""
        z3 = self.z3
        match sort:
            case Sort.BOOL:
                return bool(z3.is_true(found))
            case Sort.INT:
                return int(found.as_signed_long())
            case Sort.FLOAT:
                return _float(z3, found)
            case Sort.TEXT:
                return b"".join(_bytes(c) for c in _characters(found.as_string()))
            case Sort.OPAQUE:
                raise AssertionError("an opaque value has no plain form")


def _float_constant(z3: Any, value: float) -> Any:
    """z3 reads neither an infinity nor a NaN, and of the others decimal digits."""
    if value != value:
        return z3.fpNaN(z3.Float64())
    (bits,) = struct.unpack("<Q", struct.pack("<d", value))
    return z3.simplify(z3.fpBVToFP(z3.BitVecVal(bits, 64), z3.Float64()))


def _float(z3: Any, found: Any) -> float:
    if z3.is_fp(found) and found.isNaN():
        return float("nan")
    bits = z3.simplify(z3.fpToIEEEBV(found))
    value: float = struct.unpack("<d", int(bits.as_long()).to_bytes(8, "little"))[0]
    return value


def _characters(text: str) -> Iterable[int]:
    """The characters of a z3 string, which escapes some as \\u{…}."""
    at = 0
    while at < len(text):
        if text.startswith("\\u{", at):
            end = text.index("}", at)
            yield int(text[at + 3 : end], 16)
            at = end + 1
        else:
            yield ord(text[at])
            at += 1


def _bytes(character: int) -> bytes:
    """One byte; a character that is none, which only a model without `plain_text` has, as its UTF-8."""
    return bytes((character,)) if character < 256 else chr(character).encode()
