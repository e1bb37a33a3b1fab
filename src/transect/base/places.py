# SPDX-License-Identifier: Apache-2.0
"""Where files lie that nobody has named a place for: those that are kept, and those under way."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from transect.base.unavailable import Unavailable

ANOTHER_CACHE = "XDG_CACHE_HOME=FOLDER names another place"
ANOTHER_TEMPORARY = "TMPDIR=FOLDER names another place"


def place(kind: str) -> Path:
    """Where files of a kind are: `$XDG_CACHE_HOME/transect/KIND`, else `~/.cache/transect/KIND`.

    Raises Unavailable for a user without a home.
    """
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(chosen):  # the XDG specification says to ignore any other
        return Path(chosen) / "transect" / kind
    try:
        home = Path.home()
    except RuntimeError as error:
        raise Unavailable("~/.cache/transect", str(error), ANOTHER_CACHE) from error
    if not os.path.isdir(home):
        raise Unavailable("~/.cache/transect", f"the home {home} is not there", ANOTHER_CACHE)
    return home / ".cache" / "transect" / kind


def temporary() -> str:
    """Where files under way are."""
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:  # none takes a file
        return os.environ.get("TMPDIR") or "/tmp"
