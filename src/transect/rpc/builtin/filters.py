# SPDX-License-Identifier: Apache-2.0
"""Envoy's own filters as data, as far as elements can equal them: refusals by header, and changes of headers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from transect.rpc.chain.address import API, Json
from transect.rpc.envoy.config import ROUTE_HEADER, filters_off, whole_path
from transect.rpc.headers import printable
from transect.rpc.hooks import Code

RBAC = API + "extensions.filters.http.rbac.v3.RBAC"
HEADERS = API + "extensions.filters.http.header_mutation.v3.HeaderMutation"
CEL = API + "extensions.access_loggers.filters.cel.v3.ExpressionFilter"

HTTP_OF = {  # Envoy answers a gRPC call with HTTP statuses, each of which becomes one code
    Code.PERMISSION_DENIED: 403,
    Code.UNAUTHENTICATED: 401,
    Code.UNIMPLEMENTED: 404,
    Code.UNAVAILABLE: 503,
    Code.INTERNAL: 400,
    Code.UNKNOWN: 500,
}


class NotAFilter(Exception):
    """An element does not equal any of Envoy's own filters; the text says why."""


# ---------------------------------------------------------------- when to refuse: predicates of `rbac`'s matchers
#
# Principals are not used: if a header comes twice, they compare each value by itself, so a sender of `x-team: evil` and
# `x-team: search` would pass as the second.  The input below joins all values by commas, as elements see them.

ALWAYS: Json = {"always": True}  # our own notation: Envoy has no such predicate
INPUT = API + "type.matcher.v3.HttpRequestHeaderMatchInput"
ACTION = API + "config.rbac.v3.Action"
METHOD = ":path"  # the gRPC method


PRINTABLE = "[ -~]*"
"""A header with any other character is absent to elements."""


def header(name: str, how: str, value: str) -> Json:
    """A header is present, and its text equals, begins with, ends with or contains the value.

    Equality with a printable value needs no test for presence: nothing else is equal.
    """
    found = _compared(name, {how: value})
    return (
        found if name == METHOD or (how == "exact" and printable(value)) else all_of([present(name), found])
    )


def present(name: str) -> Json:
    return _compared(name, {"safe_regex": {"google_re2": {}, "regex": PRINTABLE}})


def _compared(name: str, how: Json) -> Json:
    read = {"name": "header", "typed_config": {"@type": INPUT, "header_name": name}}
    return {"single_predicate": {"input": read, "value_match": how}}


def unless(one: Json) -> Json:
    return {"not_matcher": one}


def all_of(parts: Iterable[Json]) -> Json:
    return _several("and_matcher", parts)


def any_of(parts: Iterable[Json]) -> Json:
    return _several("or_matcher", parts)


def _several(how: str, parts: Iterable[Json]) -> Json:
    found = list(parts)
    return found[0] if len(found) == 1 else {how: {"predicate": found}}


# ---------------------------------------------------------------- the filters


@dataclass(frozen=True, slots=True)
class Refusal:
    """Calls for which a condition holds are refused.  `name`: Envoy tells this refusal from others by it."""

    name: str
    when: Json
    code: Code
    text: str

    @property
    def kind(self) -> str:
        return "rbac"

    def filter(self) -> Json:
        deny, allow = _action(self.name, "DENY"), _action("others", "ALLOW")
        matcher: Json = {"on_no_match": deny if self.when == ALWAYS else allow}
        if self.when != ALWAYS:
            matcher["matcher_list"] = {"matchers": [{"predicate": self.when, "on_match": deny}]}
        config = {"@type": RBAC, "matcher": matcher, "rules_stat_prefix": f"{self.name}."}
        return {"name": self.name, "typed_config": config}

    def reply(self) -> Json:
        """Replaces Envoy's own reply to a refusal with the code and text of the element."""
        expression = f"response.code_details == 'rbac_access_denied_matched_policy[{self.name}]'"
        which = {
            "name": "envoy.access_loggers.extension_filters.cel",
            "typed_config": {"@type": CEL, "expression": expression},
        }
        return {
            "filter": {"extension_filter": which},
            "status_code": HTTP_OF[self.code],
            "body_format_override": {
                "text_format_source": {"inline_string": escaped(self.text)},
                "content_type": "text/plain",
            },
        }


def _action(name: str, what: str) -> Json:
    return {"action": {"name": "action", "typed_config": {"@type": ACTION, "name": name, "action": what}}}


@dataclass(frozen=True, slots=True)
class Mutation:
    """Headers of the request are set to constants, or removed."""

    name: str
    set: tuple[tuple[str, str], ...]
    remove: tuple[str, ...]

    @property
    def kind(self) -> str:
        return "header_mutation"

    def filter(self) -> Json:
        sets = [
            {
                "append": {
                    "header": {"key": key, "value": escaped(value)},
                    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                    "keep_empty_value": True,
                }
            }
            for key, value in self.set
        ]
        removals = [{"remove": key} for key in self.remove]
        config = {"@type": HEADERS, "mutations": {"request_mutations": [*sets, *removals]}}
        return {"name": self.name, "typed_config": config}


Filter = Refusal | Mutation


def escaped(text: str) -> str:
    """The text as a constant in one of Envoy's format strings."""
    return text.replace("%", "%%")


# ---------------------------------------------------------------- in an Envoy


def with_filters(bootstrap: Json, filters: Sequence[Filter], methods: Sequence[str]) -> Json:
    """The bootstrap of an Envoy with these filters: its refusals have the code and text of the elements, and calls of
    other methods than these (paths) pass by the routes that switch the filters off, or not at all.
    """
    manager = bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    replies = [f.reply() for f in filters if isinstance(f, Refusal)]
    if replies:
        manager["local_reply_config"] = {"mappers": replies}
    (host,) = manager["route_config"]["virtual_hosts"]
    passing = [route for route in host["routes"] if "typed_per_filter_config" in route]
    *named, rest = host["routes"][len(passing) :]  # no filter chooses among named routes, and no client may
    if named:
        rest = rest | {"request_headers_to_remove": [ROUTE_HEADER]}
    covered = [rest | {"match": whole_path(path)} for path in methods]
    host["routes"] = [*passing, *covered, _uncovered(filters)]
    return bootstrap


def _uncovered(filters: Sequence[Filter]) -> Json:
    """404 is UNIMPLEMENTED to gRPC."""
    return {
        "match": {"prefix": "/"},
        "direct_response": {"status": 404, "body": {"inline_string": "no policy covers this method"}},
        **filters_off(f.name for f in filters),
    }
