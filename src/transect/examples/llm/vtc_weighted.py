# SPDX-License-Identifier: Apache-2.0
"""Weighted VTC (OSDI'24, section 4.3): a client of weight 200 gets twice the service of one of weight 100."""

from transect.llm import Request

from .vtc import INPUT, OUTPUT, Vtc


class WeightedVtc(Vtc):
    """VTC where each token costs a client less, the greater its weight is.

    A charge is tokens times an integer rate, so charges add up exactly, however they are split.
    """

    def charge(self, request: Request, prompt: int, output: int) -> None:
        per_input, per_output = INPUT * 100 // request.weight, OUTPUT * 100 // request.weight
        self.served[request.client] += prompt * per_input + output * per_output
