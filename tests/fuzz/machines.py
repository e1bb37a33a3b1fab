# SPDX-License-Identifier: Apache-2.0
"""The Python implementations of the language, each as: a program and calls in, what could be observed out.

`main` serves a Python of another version: emitted texts and calls in on stdin, what was observed out.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import types
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.fuzz.calls import Call, Facts
from transect.core.interp import Instance
from transect.core.ir import Program
from transect.core.values import normal
from transect.emit.py.image import image
from transect.lang.tape import use

ROOT = Path(__file__).parents[2]
START = f"import sys; sys.path[:0] = {[str(ROOT), str(ROOT / 'src')]}; from tests.fuzz.machines import main; main()"


class Step(NamedTuple):
    """What one call showed."""

    result: str
    state: int  # checksum of the image
    said: tuple[str, ...]  # traces


class Observed(NamedTuple):
    """What one implementation showed of one program."""

    steps: tuple[Step, ...]
    image: str  # of the state at the end, hex
    error: str = ""  # an exception, or what a sanitizer says


def interpreted(program: Program, calls: Sequence[Call]) -> Observed:
    """By the definition."""
    instance = Instance(program)
    steps = []
    for call in calls:
        said: list[str] = []
        if "waiting" in instance.state:
            instance.waiting[:] = call.waiting
        result = instance.call(call.hook, call.args, tape=Facts(call), functions={"trace": said.append})
        steps.append(Step(repr(normal(result)), zlib.crc32(instance.image()), tuple(said)))
    return Observed(tuple(steps), instance.image().hex())


def emitted(cls: type[Any], calls: Sequence[Call]) -> Observed:
    """By an emitted class."""
    policy = cls()
    steps = []
    for call in calls:
        said: list[str] = []
        policy.__functions__["trace"] = said.append
        _wait(policy, call.waiting)
        with use(Facts(call)):
            result = getattr(policy, call.hook)(*call.args)
        steps.append(Step(repr(normal(result)), zlib.crc32(image(policy)), tuple(said)))
    return Observed(tuple(steps), image(policy).hex())


def _wait(policy: Any, wanted: Sequence[int]) -> None:
    """Those wait now: one by one, as an adapter does it, where that leads there; else all at once, as in a test."""
    stay = [client for client in policy.waiting if client in wanted]
    if stay != list(wanted[: len(stay)]):
        policy.waiting = wanted
        return
    for client in [c for c in policy.waiting if c not in wanted]:
        policy.waiting.remove(client)
    for client in wanted[len(stay) :]:
        policy.waiting.append(client)


def of_text(text: str, name: str, calls: Sequence[Call]) -> Observed:
    """By the text of an emitted module."""
    module = types.ModuleType("emitted")
    sys.modules["emitted"] = module  # dataclasses look for their module there
    exec(compile(text, "<emitted>", "exec", dont_inherit=True), vars(module))
    return emitted(getattr(module, name), calls)


def in_other_python(python: Path, texts: Sequence[tuple[str, str, Sequence[Call]]]) -> list[Observed]:
    """By the texts of emitted modules (text, policy, calls), in another Python."""
    asked = json.dumps([(text, name, [dataclasses.astuple(c) for c in calls]) for text, name, calls in texts])
    done = subprocess.run([python, "-c", START], input=asked, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return [_observed(*one) for one in json.loads(done.stdout)]


def _observed(steps: list[Any], image_: str, error: str) -> Observed:
    return Observed(tuple(Step(result, state, tuple(said)) for result, state, said in steps), image_, error)


def main() -> None:
    found = []
    for text, name, calls in json.load(sys.stdin):
        given = [Call(hook, tuple(args), tuple(waiting), *rest) for hook, args, waiting, *rest in calls]
        try:
            found.append(of_text(text, name, given))
        except Exception as error:  # reported with the program, by whoever compares
            found.append(Observed((), "", f"{type(error).__name__}: {error}"))
    json.dump(found, sys.stdout)
