# SPDX-License-Identifier: Apache-2.0
"""VTC under a measured cost (OSDI'24, appendix B.2; Llama-2-7b on an A10G), quadratic because of attention.

h(x, y) = 0.21001891 x + 0.10075395 y + 0.0039868 x y + 0.00324733 y² + 1.14601454 for x input and y output tokens.
"""

from typing import Final

from transect.lang import helper
from transect.llm import Request

from .vtc import Vtc

ONCE: Final = 1_146_015  # millionths, as all of these
PER_INPUT: Final = 210_019
PER_OUTPUT: Final = 100_754


@helper
def output_cost(x: int, y: int) -> int:
    """What y output tokens cost after a prompt of x, in millionths."""
    return PER_OUTPUT * y + (39_868 * x * y + 32_473 * y * y) // 10


class ProfiledVtc(Vtc):
    """VTC where a token costs more, the longer the text before it is."""

    def admit(self, request: Request) -> None:
        self.served[request.client] += ONCE

    def retract(self, request: Request) -> None:
        self.served[request.client] -= ONCE

    def charge(self, request: Request, prompt: int, output: int) -> None:
        x, y = request.input, request.produced
        self.served[request.client] += PER_INPUT * prompt + output_cost(x, y) - output_cost(x, y - output)
