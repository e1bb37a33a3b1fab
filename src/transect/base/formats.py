# SPDX-License-Identifier: Apache-2.0
"""Diagnostics as text for machines: JSON, SARIF 2.1.0, GitHub annotations.

Lines and columns count from 1 in all three, ends are exclusive, columns count characters.  A diagnostic without a place
has no lines or columns, and one about a whole file has only the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from transect.base.diagnostic import Diagnostic, Severity
from transect.base.span import NOWHERE, Span

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def to_json(diagnostics: Iterable[Diagnostic]) -> str:
    """An array with one object for each diagnostic."""
    return json.dumps([plain(d) for d in diagnostics], ensure_ascii=False, indent=2)


def plain(diagnostic: Diagnostic) -> dict[str, object]:
    """A diagnostic as JSON can say it."""
    return {
        "severity": str(diagnostic.severity),
        "code": diagnostic.code,
        "message": diagnostic.message,
        **_place(diagnostic.span),
        "label": diagnostic.label,
        "others": [{**_place(other.span), "label": other.text} for other in diagnostic.others],
        "help": diagnostic.help,
        "note": diagnostic.note,
    }


def _place(span: Span) -> dict[str, object]:
    path = None if span.path == NOWHERE.path else span.path
    if not span.line:
        return {"path": path}
    return {
        "path": path,
        "line": span.line,
        "column": span.column + 1,
        "end_line": span.end_line,
        "end_column": span.end_column + 1,
    }


# --- SARIF --------------------------------------------------------------------------------------------------------


def to_sarif(diagnostics: Iterable[Diagnostic], *, version: str, titles: Mapping[str, str]) -> str:
    """A SARIF log with one run; `titles` gives the short title of each code."""
    found = list(diagnostics)
    codes = sorted({d.code for d in found})
    rules = [{"id": code, "shortDescription": {"text": titles.get(code, code)}} for code in codes]
    driver = {"name": "transect", "version": version, "rules": rules}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(d, codes.index(d.code)) for d in found],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, ensure_ascii=False, indent=2)


def _result(diagnostic: Diagnostic, rule: int) -> dict[str, object]:
    result: dict[str, object] = {
        "ruleId": diagnostic.code,
        "ruleIndex": rule,
        "level": str(diagnostic.severity),  # the three names are SARIF's own
        "message": {"text": _whole(diagnostic)},
        "locations": [],
    }
    if diagnostic.span.path != NOWHERE.path:
        result["locations"] = [{"physicalLocation": _location(diagnostic.span)}]
    if diagnostic.others:
        result["relatedLocations"] = [
            {"id": number, "physicalLocation": _location(other.span), "message": {"text": other.text}}
            for number, other in enumerate(diagnostic.others, start=1)
        ]
    return result


def _location(span: Span) -> dict[str, object]:
    location: dict[str, object] = {"artifactLocation": {"uri": _uri(span.path)}}
    if span.line:
        location["region"] = {
            "startLine": span.line,
            "startColumn": span.column + 1,
            "endLine": span.end_line,
            "endColumn": span.end_column + 1,
        }
    return location


def _uri(path: str) -> str:
    from urllib.parse import quote

    uri = quote(path.replace("\\", "/"))
    return f"file://{uri}" if uri.startswith("/") else uri


def _whole(diagnostic: Diagnostic) -> str:
    """Message, label, help and note in one text, for readers who have no place for the others."""
    head = f"{diagnostic.message}: {diagnostic.label}" if diagnostic.label else diagnostic.message
    rest = [
        f"{kind}: {text}" for kind, text in (("help", diagnostic.help), ("note", diagnostic.note)) if text
    ]
    return "\n".join([head, *rest])


# --- GitHub -------------------------------------------------------------------------------------------------------

_COMMAND = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


def to_github(diagnostics: Iterable[Diagnostic]) -> str:
    """A workflow command for each diagnostic, which GitHub shows beside the line."""
    return "\n".join(_annotation(d) for d in diagnostics)


def _annotation(diagnostic: Diagnostic) -> str:
    span = diagnostic.span
    properties: dict[str, object] = {}
    if span.path != NOWHERE.path:
        properties["file"] = span.path
    if span.line:
        properties |= {"line": span.line, "endLine": span.end_line}
    if span.line and span.line == span.end_line:  # GitHub ignores columns of a place that spans lines
        properties |= {"col": span.column + 1, "endColumn": span.end_column + 1}
    properties["title"] = f"transect {diagnostic.code}"
    listed = ",".join(f"{name}={_property(str(value))}" for name, value in properties.items())
    return f"::{_COMMAND[diagnostic.severity]} {listed}::{_data(_whole(diagnostic))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
