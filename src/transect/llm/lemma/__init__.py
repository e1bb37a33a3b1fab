# SPDX-License-Identifier: Apache-2.0
"""Proofs of what `docs/fairness.md` requires of a policy's handlers, from any state; or a trace on which it fails."""
