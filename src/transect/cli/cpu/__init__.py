# SPDX-License-Identifier: Apache-2.0
"""`transect cpu`: the verbs of the cpu stratum."""
