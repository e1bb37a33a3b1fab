# SPDX-License-Identifier: Apache-2.0
"""The llm stratum: what its policies import, and, loaded when it is first asked for, what puts them in force."""

from transect.llm.hooks import Admission, Group, Queue, Refuse, Request, Verdict
from transect.shapes import Client

__all__ = ["Admission", "Client", "Group", "Queue", "Refuse", "Request", "Verdict"]
