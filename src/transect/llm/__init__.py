# SPDX-License-Identifier: Apache-2.0
"""The llm stratum: what its policies import, and the code that puts them in force, which is loaded at first use."""

from transect.llm.hooks import Admission, Group, Queue, Refuse, Request, Verdict
from transect.shapes import Client

__all__ = ["Admission", "Client", "Group", "Queue", "Refuse", "Request", "Verdict"]
