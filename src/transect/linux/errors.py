# SPDX-License-Identifier: Apache-2.0
"""The one exception of everything that parses a kernel's data."""

from __future__ import annotations


class KernelDataError(Exception):
    """Kernel data that is not what it should be.  The text says which part, and what was expected there."""
