# SPDX-License-Identifier: Apache-2.0
"""Requests to a processor of an edge that nobody who keeps to the protocol makes; each is refused in words."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transect.control.client import Client, ControlError
from transect.control.protocol import Refused

Arguments = dict[str, Any]
Asked = tuple[str, Arguments, str]
"""Verb, arguments, and what is said."""

NO_IMAGE = base64.b64encode(b"\xff" * 9).decode()
NO_NAMES = ("", "-", "a\tb", "a\nb", "a b", "\u00e9", "v" * 32)


def before_a_change(state: list[Arguments], file: Path) -> Iterator[Asked]:
    """`state`: the elements that run; `file`: a version that could be staged."""
    image = state[0]["image"]
    yield "images", {"version": "7"}, "no older version '7'"
    yield "merge", {"element": 0, "base": image, "theirs": image}, "no version was put in force"
    yield "commit", {"version": "7"}, "no version 7 is staged"
    for name in NO_NAMES:
        yield "join", {"version": name, "stamps": True}, "is no name of a version"
        yield "stage", {"version": name, "path": str(file), "incoming": []}, "is no name of a version"
    yield "stage", {"version": "1", "path": str(file), "incoming": []}, "version 1 is there already"
    yield "stage", {"version": "2", "path": f"/{'a' * 300}.py", "incoming": []}, "is no file"
    moving = {"name": "Middle", "schema": state[0]["schema"], "image": image, "at": "web/0"}
    for changed, said in (
        ({"schema": {}}, "the schema of Middle cannot be read"),
        ({"schema": {**moving["schema"], "hash": "0"}}, "the schema of Middle cannot be read"),
        ({"image": "no base64"}, "is not base64"),
        ({"image": "\u00e9"}, "is not base64"),
    ):
        yield "stage", {"version": "2", "path": str(file), "incoming": [{**moving, **changed}]}, said


def mistyped(state: list[Arguments], file: Path) -> Iterator[Asked]:
    one = {**state[0], "at": "web/0"}
    incoming: list[Any] = [
        *({name: value for name, value in one.items() if name != missing} for missing in one),
        {**one, "name": 3},
        {**one, "schema": []},
        {**one, "image": None},
        "Middle",
    ]
    for each in incoming:
        yield "stage", {"version": "2", "path": str(file), "incoming": [each]}, "`incoming`"


def after_a_change(state: list[Arguments]) -> Iterator[Asked]:
    """`state`: the elements that run, the last of which continues an old one."""
    last, image = len(state) - 1, state[-1]["image"]
    for element in (-1, len(state), 1 << 40):
        yield (
            "merge",
            {"element": element, "base": image, "theirs": image},
            f"element {element} continues none",
        )
    for base, theirs in (("!", image), (image, "\u00e9"), (image[:-1], image)):
        yield "merge", {"element": last, "base": base, "theirs": theirs}, "is not base64"
    yield "merge", {"element": last, "base": image, "theirs": NO_IMAGE}, "cannot go over"


def refused(name: str, requests: Iterator[Asked]) -> None:
    _answered(name, requests, Refused)


def wrong(name: str, requests: Iterator[Asked]) -> None:
    _answered(name, requests, ControlError)


def _answered(name: str, requests: Iterator[Asked], how: type[Exception]) -> None:
    ask = Client("rpc", name, 60).ask
    others: list[str] = []
    for verb, arguments, said in requests:
        try:
            answer = repr(ask(f"edge-{verb}", **arguments))
        except (Refused, ControlError) as no:
            answer = f"{type(no).__name__}: {no}"
        if said not in answer or not answer.startswith(how.__name__):
            others.append(f"{verb} {arguments}: {said!r} was expected, and not {answer}")
    assert not others, "\n".join(others)
