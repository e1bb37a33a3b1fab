# SPDX-License-Identifier: Apache-2.0
"""What `transect decisions` does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transect.base.counted import counted
from transect.base.room import put
from transect.cli.decoders import decoder
from transect.cli.exits import Exit
from transect.cli.explaining import logs_in, no_log
from transect.cli.failure import tell, usage
from transect.replay import LogError, read
from transect.replay.decisions import Row, Sample, Taken, decisions, otlp

PARQUET = ".parquet"
KINDS = (".jsonl", PARQUET)


def export(places: Sequence[Path], output: Path, share: float, verdict: str) -> int:
    """Read the logs, take the sample, and write its rows.  Raises `Unavailable`."""
    if output.suffix not in KINDS:
        return usage(
            f"{output}: no such kind of file can be written", f"give a file that ends in {' or '.join(KINDS)}"
        )
    if output.exists():
        return usage(f"{output} exists, and is not overwritten", "give another path")
    if output.suffix == PARQUET:  # before reading, which may take minutes
        from transect.replay.parquet import needs_pyarrow

        needs_pyarrow()
    paths = list(logs_in(places))
    if not paths:
        return no_log(places[0])
    sample = Sample(share, verdict)
    try:
        found = [_taken(path, sample) for path in paths]
    except LogError as wrong:
        tell(wrong)
        return Exit.USAGE
    rows = sorted((row for one in found for row in one.rows), key=lambda row: row.time)
    _write(output, rows)
    asked, explained = sum(one.requests for one in found), sum(one.explained for one in found)
    print(
        f"{output}: {counted(len(rows), 'decision')}; {explained} of {asked} requests are explained,"
        " at each layer by itself"
    )
    return Exit.DONE if explained == asked else Exit.UNKNOWN


def _taken(path: Path, sample: Sample) -> Taken:
    log = read(path)
    return decisions(log, decoder(log), sample)


def _write(output: Path, rows: Sequence[Row]) -> None:
    """Raises `Unavailable`, FileExistsError, OSError."""
    if output.suffix == PARQUET:
        from transect.replay.parquet import table

        data = table(rows)
    else:
        data = "".join(f"{line}\n" for line in otlp(rows)).encode()
    put(output, data, fresh=True, mode=0o600)  # readable by its owner alone: it holds what others said
