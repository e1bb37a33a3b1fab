# SPDX-License-Identifier: Apache-2.0
"""Hints: what applications say to a scheduler, and it to them, by rings of shared memory.

`schema` says what a policy hears and tells; `target_c` and `target_py` emit it for applications; `broker` lets them
attach, without privilege, and refuses what the policy does not know.
"""
