# SPDX-License-Identifier: Apache-2.0
"""What Envoy's filters do under a configuration, as policies of our language: read from the same JSON that Envoy gets.

This is the one place that defines what `rbac` and `header_mutation` mean; a test compares it with a real Envoy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transect.core.frontend import compile_text
from transect.core.ir import Program
from transect.rpc.builtin.filters import HEADERS, HTTP_OF, INPUT, METHOD, PRINTABLE, RBAC, Filter, Refusal
from transect.rpc.chain.address import Json

HEAD = "from transect.rpc import Code, Element, Forward, Reject, Rpc, Verdict\n"
HOW = {
    "exact": "{} == {}",
    "prefix": "{}.startswith({})",
    "suffix": "{}.endswith({})",
    "contains": "{1} in {0}",
}


def meaning(filters: Sequence[Filter]) -> list[Program]:
    """A policy for each filter, in order."""
    parts = [_policy(f"Filter{number}", one) for number, one in enumerate(filters)]
    made = compile_text(HEAD + "".join(parts), "<filters>")
    assert len(made.programs) == len(filters), [d.message for d in made.diagnostics]
    return [made.program(f"Filter{number}") for number in range(len(filters))]


def _policy(name: str, one: Filter) -> str:
    config = one.filter()["typed_config"]
    if config["@type"] == RBAC:
        assert isinstance(one, Refusal), "a refusal has its own words"
        body = _refusal(config["matcher"], one.reply())
    else:
        assert config["@type"] == HEADERS, config["@type"]
        body = _mutations(config["mutations"]["request_mutations"])
    lines = "".join(f"        {line}\n" for line in [*body, "return Forward()"])
    return f"\n\nclass {name}(Element):\n    def request(self, rpc: Rpc) -> Verdict:\n{lines}"


def _refusal(matcher: Json, reply: Json) -> list[str]:
    """Calls that match are denied, or all calls if there is no matcher; the local reply gives the status."""
    read: dict[str, str] = {}
    condition = "True"
    if "matcher_list" in matcher:
        (one,) = matcher["matcher_list"]["matchers"]
        assert (_acts(one["on_match"]), _acts(matcher["on_no_match"])) == ("DENY", "ALLOW"), matcher
        condition = _condition(one["predicate"], read)
    else:
        assert _acts(matcher["on_no_match"]) == "DENY", matcher
    code = next(code.name for code, http in HTTP_OF.items() if http == reply["status_code"])
    text = _unescaped(reply["body_format_override"]["text_format_source"]["inline_string"])
    asked = [f"{local} = rpc.headers.get({name!r})" for name, local in read.items()]
    return [*asked, f"if {condition}:", f"    return Reject(Code.{code}, {text!r})"]


def _acts(then: Json) -> str:
    return str(then["action"]["typed_config"]["action"])


def _condition(predicate: Json, read: dict[str, str]) -> str:
    ((kind, inner),) = predicate.items()
    match kind:
        case "not_matcher":
            return f"(not {_condition(inner, read)})"
        case "and_matcher" | "or_matcher":
            word = " and " if kind == "and_matcher" else " or "
            return f"({word.join(_condition(one, read) for one in inner['predicate'])})"
        case "single_predicate":
            return _header(inner["input"]["typed_config"], inner["value_match"], read)
        case _:
            raise AssertionError(f"no meaning is given to {kind}")


def _header(source: Json, asked: Json, read: dict[str, str]) -> str:
    """All values of a header, joined by commas; an absent header equals nothing."""
    assert source["@type"] == INPUT, source
    name = source["header_name"]
    if name == METHOD:
        return _text("rpc.method", asked)
    local = read.setdefault(name, f"header{len(read)}")
    there = f"{local} is not None"
    if "safe_regex" in asked:
        assert asked["safe_regex"]["regex"] == PRINTABLE, "no other expression has a meaning here"
        return f"({there})"
    # Without `present`, only equality with a printable value is asked, and no unprintable text is equal to that.
    return f"({there} and {_text(local, asked)})"


def _text(read: str, matcher: dict[str, Any]) -> str:
    ((how, value),) = matcher.items()
    return HOW[how].format(read, repr(value))


def _mutations(mutations: Sequence[Json]) -> list[str]:
    found = []
    for one in mutations:
        if "remove" in one:
            found.append(f"rpc.headers.remove({one['remove']!r})")
            continue
        append = one["append"]
        assert append["append_action"] == "OVERWRITE_IF_EXISTS_OR_ADD", append
        assert append["keep_empty_value"], "or an empty one would not be set"
        key, value = append["header"]["key"], _unescaped(append["header"]["value"])
        found.append(f"rpc.headers.set({key!r}, {value!r})")
    return found


def _unescaped(text: str) -> str:
    return text.replace("%%", "%")
