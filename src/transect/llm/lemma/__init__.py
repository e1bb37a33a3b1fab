# SPDX-License-Identifier: Apache-2.0
"""What `docs/fairness.md` asks of a policy, proved of its handlers from any state; or a trace on which it fails."""
