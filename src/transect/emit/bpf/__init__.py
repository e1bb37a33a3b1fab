# SPDX-License-Identifier: Apache-2.0
"""The target BPF: handlers as C for clang, which strata wrap into programs for their place in the kernel."""
