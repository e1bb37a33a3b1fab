# SPDX-License-Identifier: Apache-2.0
"""The text format of Prometheus (0.0.4), and a small server of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from transect.control.pages import Pages

TYPE = "text/plain; version=0.0.4; charset=utf-8"


def escaped(value: str) -> str:
    """The text of a label."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def labels(**of: str) -> str:
    """`a="x",b="y"`."""
    return ",".join(f'{name}="{escaped(value)}"' for name, value in of.items())


def metric(name: str, kind: str, help: str, samples: Sequence[tuple[str, float | str]]) -> Iterator[str]:
    """The lines of a metric.  `kind`: counter, gauge; `samples`: labels (`a="x",b="y"`), and a value."""
    if samples:
        yield f"# HELP {name} {help}"
        yield f"# TYPE {name} {kind}"
    for labelled, value in samples:
        yield f"{name}{{{labelled}}} {value}"


class Exporter(Pages):
    """Answers `GET /metrics` until it is closed."""

    def __init__(self, host: str, port: int, text: Callable[[], str]) -> None:
        """Raises `Unavailable` when somebody listens there."""
        super().__init__(host, port, {"/metrics": (TYPE, text)}, "--metrics")
