# SPDX-License-Identifier: Apache-2.0
"""From the parts of a stack file to the commands to run, and the errors in the files that they name."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, assert_never

from transect.base import toml
from transect.base.bounded import is_file, whole
from transect.base.diagnostic import Diagnostics
from transect.base.shipped import path_of
from transect.base.span import Span
from transect.base.weights import NoWeights
from transect.core.frontend import compile_file
from transect.cpu.check import check as check_scheduler
from transect.cpu.tenants import takes
from transect.lang.functions import PolicyError
from transect.llm.config import weighted as with_weights
from transect.llm.config_check import check_file
from transect.llm.gateway.settings import read_gateway
from transect.llm.policies import load
from transect.memory.target import BadTarget, size
from transect.rpc.chain.address import Endpoint
from transect.rpc.chain.file import read_edges
from transect.rpc.chain.fitting import known
from transect.rpc.envoy.upgrading import FIXED
from transect.rpc.run import name_of
from transect.stack import spec
from transect.stack.model import Part

Take = Callable[[Diagnostics, Mapping[str, str]], None]
"""Takes the diagnostics of a part's own files, and their texts."""


_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,31}")

RESTARTS = ("listen", "admin", "upstreams", "limits", "share", "state")
"""The settings of a gateway that are not read again while it runs."""

SHARED = "shared"
"""Stands for the policy's name if a gateway has the policy of the stack."""

Word: TypeAlias = spec.Front | spec.Gateway | spec.Cores | spec.Watch | spec.Program


class Wrong(Exception):
    """A keyword with a wrong value."""

    def __init__(self, field: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.field = field
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Around:
    """What surrounds a part: the stack's folder, tenants, policy and keys."""

    stack: Path
    name: str
    share: Path | None
    weights: Mapping[str, int] | None
    """None: the stack names no tenants, and each part keeps its own."""
    identity: Path | None
    """The file of keys under which parts vouch for requests; None: there is none."""
    span: Span
    take: Take

    @property
    def folder(self) -> Path:
        return self.stack.absolute().parent

    def file(self, name: str, field: str) -> Path:
        """A file beside the stack file.  Raises `Wrong`."""
        path = self.folder / name
        if not is_file(path):
            raise Wrong(field, f"there is no file `{name}`", "files are looked for beside the stack file")
        return path

    def instance(self, part: str) -> str:
        return f"{self.name}.{part}"


def made(word: Word, around: Around) -> Part:
    """The part.  Raises `Wrong`; errors in its files go to `around.take`."""
    if _NAME.fullmatch(word.name) is None:
        raise Wrong(
            "name", f"`{word.name}` cannot be the name of a part", "letters, digits, `_` and `-`; 32 at most"
        )
    match word:
        case spec.Front():
            return _front(word, around)
        case spec.Gateway():
            return _gateway(word, around)
        case spec.Cores():
            return _cores(word, around)
        case spec.Watch():
            return _watch(word, around)
        case spec.Program():
            return _program(word, around)
        case _:
            assert_never(word)


def _front(word: spec.Front, around: Around) -> Part:
    if word.workers is not None:
        _within("workers", word.workers, 1, 1024)
    chain = around.file(word.chain, "chain")
    read = read_edges(chain)
    for edge in read.chains:
        known(edge, read.diagnostics)
    around.take(read.diagnostics, read.sources)
    for edge in read.chains:
        if not edge.listen.path and not edge.listen.port:
            hint = f'write `listen="127.0.0.1:8080"`, or another port, in {word.chain}'
            raise Wrong(
                "chain",
                f"{edge.service} listens at any free port: another one each time that it begins",
                hint,
            )
    name = around.instance(word.name)
    workers = ("--workers", str(word.workers)) if word.workers is not None else ()
    identity = _identity(around)
    instances = tuple(name_of(name, edge, read.chains) for edge in read.chains)
    edges = zip(instances, read.chains, strict=True)
    return Part(
        name=word.name,
        kind="Front",
        stratum="rpc",
        command=("rpc", "run", str(chain), "--name", name, *workers, *identity),
        instances=instances,
        policy=chain,
        span=around.span,
        folder=around.folder,
        texts=_hash(read.sources),
        programs=tuple((instance, use.program) for instance, edge in edges for use in edge.elements),
        fixed=(workers, identity, *(getattr(edge, field) for edge in read.chains for field in FIXED)),
    )


def _gateway(word: spec.Gateway, around: Around) -> Part:
    config = around.file(word.config, "config")
    diagnostics, sources = check_file(config)
    around.take(diagnostics, sources)
    name = around.instance(word.name)
    if diagnostics.failed:
        raise Wrong("config", f"`{word.config}` has mistakes", "they stand beside this")
    settings = read_gateway(config)
    if around.weights is not None:
        try:
            with_weights(settings, around.weights)
        except NoWeights as wrong:
            raise Wrong("config", f"the stack {wrong}", f"take the weights out of {word.config}") from wrong
    if around.identity is not None and settings.identity.keys is not None:
        raise Wrong(
            "config", "it names keys of its own, and the stack has some", f"take `keys` out of {word.config}"
        )
    named = "policy" in toml.parsed(whole(config))
    chosen = settings.policy if named or around.share is None else str(around.share)
    is_file = "/" in chosen or chosen.partition(":")[0].endswith(".py")
    try:
        loaded = load(str(config.parent / chosen) if is_file else chosen)
    except PolicyError as wrong:
        raise Wrong(
            "config", f"its policy cannot run here: {str(wrong).strip()}", f"mend {chosen}"
        ) from wrong
    identity = _identity(around)
    words = (
        "llm",
        "run",
        *(() if named or not is_file else (chosen,)),
        "-c",
        str(config),
        "--name",
        name,
        *identity,
    )
    return Part(
        name=word.name,
        kind="Gateway",
        stratum="llm",
        command=words,
        instances=(name,),
        policy=config.parent / chosen if is_file else None,
        span=around.span,
        folder=around.folder,
        texts=_hash({**sources, **loaded.sources}),
        programs=((name, loaded.program),),
        fixed=(
            settings.policy if named else SHARED,
            around.weights is None,
            identity,
            *(getattr(settings, field) for field in RESTARTS),
        ),
        weighted=around.weights is not None,
        reloads=True,
    )


def _cores(word: spec.Cores, around: Around) -> Part:
    policy = around.file(word.policy, "policy") if word.policy else around.share or path_of("fair_share")
    compiled = compile_file(policy)
    found = Diagnostics()
    for program in compiled.programs:
        for diagnostic in check_scheduler(program):
            found.add(diagnostic)
    around.take(compiled.diagnostics, compiled.sources)
    around.take(found, {})
    _within("cpus", word.cpus, 1, 64)
    name = around.instance(word.name)
    machine = ("--vm", "--cpus", str(word.cpus)) if word.vm else ()
    words = ("cpu", "run", str(policy), "--name", name, *machine)
    weighted = around.weights is not None and all(map(takes, compiled.programs))
    return Part(
        name=word.name,
        kind="Cores",
        stratum="cpu",
        command=words,
        instances=(name,),
        policy=policy,
        span=around.span,
        folder=around.folder,
        texts=_hash(compiled.sources),
        programs=tuple((name, program) for program in compiled.programs),
        fixed=(*machine, weighted),
        weighted=weighted,
    )


def _watch(word: spec.Watch, around: Around) -> Part:
    _within("every", word.every, 0.0, 86_400.0)
    try:
        size(word.budget or "0")
    except BadTarget as wrong:
        raise Wrong("budget", *str(wrong).split("; ", 1)) from wrong
    if not word.targets:
        raise Wrong("targets", "`targets` names nobody", 'write `targets=["ram:FILE"]`')
    name = around.instance(word.name)
    first, *others = word.targets
    also = [word for target in others for word in ("--also", target)]
    kernel = ("--kernel", str(around.file(word.kernel, "kernel"))) if word.kernel else ()
    budget = ("--budget", word.budget) if word.budget else ()
    words = ("memory", "run", first, *also, "--every", str(word.every), "--name", name, *kernel, *budget)
    instances = tuple(f"{name}-{n}" if n > 1 else name for n in range(1, len(word.targets) + 1))
    return Part(word.name, "Watch", "memory", words, instances, None, around.span, around.folder, fixed=words)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _program(word: spec.Program, around: Around) -> Part:
    if not word.command or not word.command[0]:
        raise Wrong("command", "`command` names no program", 'write `command=["python", "service.py"]`')
    if any("\0" in each or not _encodable(each) for each in word.command):
        raise Wrong(
            "command", "no program can be given this word", "leave out zero bytes and half surrogate pairs"
        )
    try:
        ready = Endpoint.parse(word.ready) if word.ready else None
    except ValueError as wrong:
        message, _, hint = str(wrong).partition("; ")
        raise Wrong("ready", message, hint) from wrong
    words = tuple(word.command)
    return Part(
        name=word.name,
        kind="Program",
        stratum="",
        command=words,
        instances=(),
        policy=None,
        span=around.span,
        folder=around.folder,
        fixed=(words, around.identity),
        ready=ready,
        called=around.instance(word.name),
        identity=around.identity,
    )


def _identity(around: Around) -> tuple[str, ...]:
    """The words of a command that give it the keys of the stack."""
    return () if around.identity is None else ("--identity", str(around.identity))


def _within(field: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise Wrong(field, f"`{field}` is out of range", f"write a number from {least} to {most}")


def _hash(texts: Mapping[str, str]) -> str:
    """A hash of the files' content, not of their paths."""
    return hashlib.sha256("\0".join(sorted(texts.values())).encode()).hexdigest()
