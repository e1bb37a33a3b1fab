# SPDX-License-Identifier: Apache-2.0
"""A package, so that its tests share one machine which ends with them."""
