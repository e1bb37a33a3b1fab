# SPDX-License-Identifier: Apache-2.0
"""Which transect this is."""

from __future__ import annotations


def version() -> str:
    """The installed version."""
    from importlib.metadata import version as installed

    return installed("transect")
