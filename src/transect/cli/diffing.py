# SPDX-License-Identifier: Apache-2.0
"""What `transect diff` does."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from transect.analysis.solve import solver
from transect.cli.compiling import Refused, is_chain, is_stack
from transect.cli.exits import Exit


def diff(old: Path, new: Path, limit: float, as_json: bool) -> int:
    solver()  # or say at once that it is missing
    try:
        if is_chain(old) and is_chain(new):
            from transect.cli.diffing_chains import diff_chains

            return diff_chains(old, new, limit, as_json)
        if is_stack(old) and is_stack(new):
            from transect.cli.diffing_stacks import diff_stacks

            return diff_stacks(old, new, as_json, partial(diff, limit=limit, as_json=False))
        from transect.cli.diffing_policies import diff_policies

        return diff_policies(old, new, limit, as_json)
    except Refused as refused:
        print(refused)
        return Exit.NO
