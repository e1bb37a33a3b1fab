# SPDX-License-Identifier: Apache-2.0
"""The paper's table as text, and its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transect.base.unavailable import Unavailable
from transect.llm.simulator.job import Job
from transect.llm.simulator.metric import STARTS, WINDOW, fairness, services
from transect.llm.simulator.perturbed import Row, Spread

HEAD = ("policy", "max diff", "avg diff", "variance", "tokens/s")


def table(rows: Sequence[Row]) -> str:
    """The rows with 95 % intervals of the means, where there are several runs."""
    cells = [HEAD, *((r.name, *map(_shown, (r.greatest, r.average, r.variance, r.throughput))) for r in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(HEAD))]
    lines = [
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
    return "\n".join([lines[0].rstrip(), "-" * len(lines[0]), *(line.rstrip() for line in lines[1:])])


def _shown(figure: Spread) -> str:
    digits = 0 if figure.mean >= 2000 else 1
    text = f"{figure.mean:,.{digits}f}"
    return f"{text} ± {figure.half:,.{digits}f}" if len(figure.values) > 1 else text


def plots(folder: Path, runs: Sequence[tuple[str, Sequence[Job]]]) -> list[Path]:
    """Service received, difference over time and response times of one run of each policy, as SVG files."""
    pyplot = _pyplot()
    folder.mkdir(parents=True, exist_ok=True)
    made = [folder / f"{name.replace(' ', '_')}_service.svg" for name, _ in runs]
    for path, (name, jobs) in zip(made, runs, strict=True):
        _service(pyplot, name, jobs, path)
    made += [folder / "difference.svg", folder / "response.svg"]
    _difference(pyplot, runs, made[-2])
    _response(pyplot, runs, made[-1])
    return made


def _pyplot() -> Any:
    try:
        import matplotlib
    except ImportError:
        raise Unavailable("plots", "matplotlib is not installed", "pip install 'transect[llm]'") from None
    matplotlib.use("svg")
    from matplotlib import pyplot

    return pyplot


def _save(pyplot: Any, figure: Any, path: Path) -> None:
    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)


def _service(pyplot: Any, name: str, jobs: Sequence[Job], path: Path) -> None:
    """Service rate of the clients that got most, in windows of a minute."""
    figure, axes = pyplot.subplots(figsize=(7, 3.5), layout="constrained")
    windows = [services(jobs, start, start + WINDOW) for start in STARTS]
    total: dict[Any, float] = {}
    for window in windows:
        for client, got in window.items():
            total[client] = total.get(client, 0.0) + got
    middle = [start + WINDOW / 2 for start in STARTS]
    for client in sorted(total, key=lambda c: -total[c])[:8]:
        axes.plot(middle, [window[client] / WINDOW for window in windows], label=f"client {client}")
    axes.set(xlabel="time (s)", ylabel="service (weighted tokens / s)", title=name)
    axes.legend(fontsize="x-small", ncols=2)
    _save(pyplot, figure, path)


def _difference(pyplot: Any, runs: Sequence[tuple[str, Sequence[Job]]], path: Path) -> None:
    figure, axes = pyplot.subplots(figsize=(7, 3.5), layout="constrained")
    middle = [start + WINDOW / 2 for start in STARTS]
    for name, jobs in runs:
        axes.plot(middle, fairness(jobs).differences, label=name)
    axes.set(xlabel="time (s)", ylabel="service difference (weighted tokens / s)", ylim=(0, None))
    axes.legend(fontsize="x-small")
    _save(pyplot, figure, path)


def _response(pyplot: Any, runs: Sequence[tuple[str, Sequence[Job]]], path: Path) -> None:
    """Time to the first token, over all requests, as shares."""
    figure, axes = pyplot.subplots(figsize=(7, 3.5), layout="constrained")
    for name, jobs in runs:
        waits = sorted(job.first - job.arrival for job in jobs if job.done >= 0)
        axes.plot(waits, [(i + 1) / len(waits) for i in range(len(waits))], label=name)
    axes.set(xlabel="time to first token (s)", ylabel="share of requests", ylim=(0, 1))
    axes.legend(fontsize="x-small")
    _save(pyplot, figure, path)
