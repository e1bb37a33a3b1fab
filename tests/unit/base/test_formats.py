# SPDX-License-Identifier: Apache-2.0
"""What programs read when a policy is wrong."""

from __future__ import annotations

import json

from inline_snapshot import snapshot

from transect.base.diagnostic import Diagnostic, Label, Severity
from transect.base.formats import to_github, to_json, to_sarif
from transect.base.span import NOWHERE, Span

PLACE = Span("my dir/acl.py", 3, 4, 3, 9)
FOUND = Diagnostic(
    Severity.ERROR,
    "P006",
    "no field `serving`",
    PLACE,
    "unknown",
    (Label(Span("/abs/base.py", 1, 0, 2, 5), "declared here"),),
    help="`100 %`,\ncheck",
)
WARNING = Diagnostic(Severity.WARNING, "P040", "never read", NOWHERE)


def test_json_has_an_object_for_each_diagnostic() -> None:
    assert json.loads(to_json([FOUND, WARNING])) == snapshot(
        [
            {
                "severity": "error",
                "code": "P006",
                "message": "no field `serving`",
                "path": "my dir/acl.py",
                "line": 3,
                "column": 5,
                "end_line": 3,
                "end_column": 10,
                "label": "unknown",
                "others": [
                    {
                        "path": "/abs/base.py",
                        "line": 1,
                        "column": 1,
                        "end_line": 2,
                        "end_column": 6,
                        "label": "declared here",
                    }
                ],
                "help": """\
`100 %`,
check\
""",
                "note": "",
            },
            {
                "severity": "warning",
                "code": "P040",
                "message": "never read",
                "path": None,
                "label": "",
                "others": [],
                "help": "",
                "note": "",
            },
        ]
    )
    assert to_json([]) == "[]"


def test_github_annotations_escape_what_would_end_them() -> None:
    assert to_github([FOUND, WARNING]) == snapshot("""\
::error file=my dir/acl.py,line=3,endLine=3,col=5,endColumn=10,title=transect P006::no field `serving`: unknown%0Ahelp: `100 %25`,%0Acheck
::warning title=transect P040::never read\
""")  # noqa: E501
    assert to_github([]) == ""


def test_sarif() -> None:
    log = to_sarif([FOUND, WARNING], version="1.2.3", titles={"P006": "unknown"})
    assert json.loads(log) == snapshot(
        {
            "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
            "version": "2.1.0",
            "runs": [
                {
                    "tool": {
                        "driver": {
                            "name": "transect",
                            "version": "1.2.3",
                            "rules": [
                                {"id": "P006", "shortDescription": {"text": "unknown"}},
                                {"id": "P040", "shortDescription": {"text": "P040"}},
                            ],
                        }
                    },
                    "columnKind": "unicodeCodePoints",
                    "results": [
                        {
                            "ruleId": "P006",
                            "ruleIndex": 0,
                            "level": "error",
                            "message": {
                                "text": """\
no field `serving`: unknown
help: `100 %`,
check\
"""
                            },
                            "locations": [
                                {
                                    "physicalLocation": {
                                        "artifactLocation": {"uri": "my%20dir/acl.py"},
                                        "region": {
                                            "startLine": 3,
                                            "startColumn": 5,
                                            "endLine": 3,
                                            "endColumn": 10,
                                        },
                                    }
                                }
                            ],
                            "relatedLocations": [
                                {
                                    "id": 1,
                                    "physicalLocation": {
                                        "artifactLocation": {"uri": "file:///abs/base.py"},
                                        "region": {
                                            "startLine": 1,
                                            "startColumn": 1,
                                            "endLine": 2,
                                            "endColumn": 6,
                                        },
                                    },
                                    "message": {"text": "declared here"},
                                }
                            ],
                        },
                        {
                            "ruleId": "P040",
                            "ruleIndex": 1,
                            "level": "warning",
                            "message": {"text": "never read"},
                            "locations": [],
                        },
                    ],
                }
            ],
        }
    )


def test_sarif_without_results_is_still_a_run() -> None:
    assert json.loads(to_sarif([], version="1", titles={}))["runs"][0]["results"] == []
