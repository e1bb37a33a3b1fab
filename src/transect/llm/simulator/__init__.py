# SPDX-License-Identifier: Apache-2.0
"""A simulated engine, and the paper's workloads and tables on it."""
