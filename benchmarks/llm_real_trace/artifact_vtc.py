# SPDX-License-Identifier: Apache-2.0
"""VTC without the rule about the client that left last, as in the published artifact; `artifact.py` counts like it."""

from transect.examples.llm.vtc import Vtc
from transect.llm import Client


class ArtifactVtc(Vtc):
    """A client that comes while nobody waits keeps its counter."""

    def leave(self, client: Client) -> None:
        pass
