# SPDX-License-Identifier: Apache-2.0
"""What `transect check FILE.toml` says of a configuration: its settings, its policy, and the policy's parameters.

A gateway's settings contain an engine's, so one check is for both; an engine refuses those that only a gateway has.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from transect.base.bounded import is_file, whole
from transect.base.diagnostic import Diagnostics, closest
from transect.base.shipped import path_of
from transect.base.span import Span
from transect.core.frontend import Compiled, compile_file
from transect.lang.functions import PolicyError
from transect.llm.config import check, span_of
from transect.llm.gateway.settings import GatewayConfig
from transect.llm.policies import examples, load, runs_here


def check_file(path: Path) -> tuple[Diagnostics, dict[str, str]]:
    """All that is wrong with the file, and with the policy that it names; the texts of both by path."""
    diagnostics = Diagnostics()
    try:
        text = whole(path).decode("utf-8")
    except (OSError, UnicodeDecodeError) as wrong:
        help = "a configuration is one file of UTF-8 text"
        diagnostics.error("S030", f"it cannot be read: {wrong}", Span(str(path), 0, 0, 0, 0), help=help)
        return diagnostics, {}
    config = check(text, path, diagnostics, GatewayConfig)
    sources = {str(path): text}
    if config is not None:
        found = _policy(config.policy, path.parent)
        if isinstance(found, Compiled):
            sources |= found.sources
            for diagnostic in found.diagnostics:
                diagnostics.add(diagnostic)
            if not found.diagnostics.failed:
                for problem, help, key in _misfits(config, found):
                    diagnostics.error("S031", problem, span_of(text, path, key), help=help)
        else:
            diagnostics.error("S031", found[0], span_of(text, path, ("policy",)), help=found[1])
    return diagnostics, sources


def _policy(what: str, folder: Path) -> Compiled | tuple[str, str]:
    """The policy's file, compiled; or what is wrong with its name, and what to write."""
    place = what.partition(":")[0]
    if "/" in place or place.endswith(".py"):
        path = folder / place
        return compile_file(path) if is_file(path) else (f"no such file: {path}", "relative to this file")
    if place in examples():
        return compile_file(path_of(place))
    near = closest(place, examples())
    return (
        f"no example policy `{place}`",
        f"did you mean `{near}`?" if near else f"there are: {', '.join(examples())}",
    )


def _misfits(config: GatewayConfig, compiled: Compiled) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Where the file does not fit its policy: the problem, what to write, and the setting."""
    name = config.policy.partition(":")[2]
    fitting = [p for p in compiled.programs if runs_here(p)]
    chosen = [p for p in fitting if name in ("", p.name)]
    if len(chosen) != 1:
        known = ", ".join(p.name for p in fitting) or "none"
        yield (f"`{config.policy}` is not one policy for serving", f"it has: {known}", ("policy",))
        return
    for param, value in config.params.items():
        try:
            load(f"{chosen[0].path}:{chosen[0].name}", **{param: value})
        except PolicyError as wrong:
            problem, _, help = str(wrong).strip().partition("; ")
            yield problem, help, ("params", param)
