# SPDX-License-Identifier: Apache-2.0
"""Hints: what applications tell a scheduler, and it tells them, through rings of shared memory.

`schema` says what a policy hears and tells; `target_c` and `target_py` emit it for applications; `broker` lets them
attach, without privilege, and refuses messages that the policy does not know.
"""
