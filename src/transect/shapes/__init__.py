# SPDX-License-Identifier: Apache-2.0
"""Hook sets which several strata share: a policy written for a shape runs in every one of them, unchanged."""

from transect.shapes.arbiter import Arbiter, Client

__all__ = ["Arbiter", "Client"]
