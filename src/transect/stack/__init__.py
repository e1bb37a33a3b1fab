# SPDX-License-Identifier: Apache-2.0
"""Several layers as one product: what a stack file says, and what runs it."""

from transect.stack.spec import Cores, Front, Gateway, Program, Stack, Watch

__all__ = ["Cores", "Front", "Gateway", "Program", "Stack", "Watch"]
