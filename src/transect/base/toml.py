# SPDX-License-Identifier: Apache-2.0
"""Reading TOML that anybody may have written: whatever the bytes are, they are a table or a TOMLDecodeError."""

from __future__ import annotations

import tomllib
from typing import Any


def parsed(data: bytes) -> dict[str, Any]:
    """Raises tomllib.TOMLDecodeError, also where the parser itself would raise something else."""
    try:
        return tomllib.loads(data.decode())
    except tomllib.TOMLDecodeError:
        raise
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise tomllib.TOMLDecodeError(f"Not UTF-8 (at line {line}, column 1)") from error
    except RecursionError as error:
        raise tomllib.TOMLDecodeError("Nested too deeply (at end of document)") from error
    except ValueError as error:  # a number of thousands of digits, a date that is none
        raise tomllib.TOMLDecodeError(f"{error} (at end of document)") from error
