# SPDX-License-Identifier: Apache-2.0
"""One meaning: random programs on random calls, through every implementation of the language."""
