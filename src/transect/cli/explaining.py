# SPDX-License-Identifier: Apache-2.0
"""What `transect why` does.  Nothing that a log says reaches the terminal as a control character."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from transect.base.diagnostic import closest
from transect.base.request_id import asked
from transect.cli.decoders import decoder
from transect.cli.exits import Exit
from transect.cli.failure import tell, usage
from transect.cli.shown_why import Page, clock
from transect.replay import Log, LogError, read
from transect.replay.why import KNOWING, Layer, why


@dataclass(frozen=True, slots=True)
class File:
    """A log, and where it is."""

    path: Path
    log: Log


def explain(request: str, places: Sequence[Path], as_json: bool) -> int:
    """Find the request, and show it."""
    request = asked(request)
    paths = list(logs_in(places))
    if not paths:
        return no_log(places[0])
    try:
        files = [File(path, read(path)) for path in paths]
        layers = [layer for file in files for layer in why(file.log, decoder(file.log), request)]
    except LogError as wrong:
        tell(wrong)
        return Exit.USAGE
    layers.sort(key=lambda layer: layer.came)
    if as_json:
        print(json.dumps(_plain(request, layers), indent=2))
    elif layers:
        print("\n".join(Page(request, layers).lines()))
    if not layers:
        return Exit.NO if as_json else _nowhere(request, files)
    return _exit(layers)


def logs_in(places: Sequence[Path]) -> Iterator[Path]:
    """The places that are logs, and all logs below the places that are folders."""
    for place in places:
        yield from sorted(place.rglob("*.log")) if place.is_dir() else [place]


def no_log(place: Path) -> int:
    """Say that there is no log in a folder."""
    return usage(f"there is no log in {place}", "name the folder that `transect record -o FOLDER` wrote")


def _exit(layers: Sequence[Layer]) -> int:
    if any(decision.differs for layer in layers for decision in layer.decisions):
        return Exit.NO
    return Exit.DONE if all(layer.explained for layer in layers) else Exit.UNKNOWN


def _plain(request: str, layers: Sequence[Layer]) -> dict[str, object]:
    return {
        "request": request,
        "explained": bool(layers) and all(layer.explained for layer in layers),
        "layers": [asdict(layer) | {"explained": layer.explained} for layer in layers],
    }


# ---------------------------------------------------------------- a request that no log names


def _nowhere(request: str, files: Sequence[File]) -> int:
    """Say that no log names the request, and what the logs do name."""
    known = [known for file in files for naming in file.log.names for known in naming.named.ids]
    longer = [known_id for known_id in known if known_id.startswith(request)]
    close = longer[0] if longer else closest(request, known)
    lines = [f"no log names a request `{request}`", *(f"  {_holds(file)}" for file in files)]
    tell("\n".join(lines), f"did you mean `{close}`?" if close else "")
    return Exit.NO


def _holds(file: File) -> str:
    """Which requests a log names, and when they came."""
    log, name = file.log, file.path.name
    short = f"; {log.shortcomings}" if log.shortcomings else ""
    if not log.names:
        return f"{name} names none: {_nameless(log)}{short}"
    times = [naming.time for naming in log.names]
    when = f"between {clock(min(times))} and {clock(max(times))}"
    return f"{name} names {len(times)}, which came {when}{short}"


def _nameless(log: Log) -> str:
    if log.header.stratum not in KNOWING:
        return "this layer knows no requests"
    return "nothing was recorded" if not log.records else "none had an `x-request-id` or a `traceparent`"
