# SPDX-License-Identifier: Apache-2.0
"""VTC without the rule of who left last, as in the published artifact; how it counts stands in `artifact.py`."""

from transect.examples.llm.vtc import Vtc
from transect.llm import Client


class ArtifactVtc(Vtc):
    """Who comes while nobody waits keeps its counter."""

    def leave(self, client: Client) -> None:
        pass
