# SPDX-License-Identifier: Apache-2.0
"""Decisions as a table in Parquet, by pyarrow, which nothing else here needs."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, fields

from transect.base.unavailable import Unavailable
from transect.replay.decisions import Row


def needs_pyarrow() -> None:
    """Raises `Unavailable`."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise Unavailable("pyarrow", "it is not installed", "pip install 'transect[parquet]'") from None


def table(rows: Sequence[Row]) -> bytes:
    """The file.  Raises `Unavailable`."""
    needs_pyarrow()
    import pyarrow
    from pyarrow import parquet

    kinds = {"int": pyarrow.int64(), "bool": pyarrow.bool_(), "str": pyarrow.string()}
    schema = pyarrow.schema([(f.name, kinds[str(f.type)]) for f in fields(Row)])
    schema = schema.set(0, pyarrow.field("time", pyarrow.timestamp("ns", tz="UTC")))
    made = pyarrow.Table.from_pylist([asdict(row) for row in rows], schema=schema)
    out = io.BytesIO()
    parquet.write_table(made, out, compression="zstd")
    return out.getvalue()
