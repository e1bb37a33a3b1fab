# SPDX-License-Identifier: Apache-2.0
"""Elements of RPC processing."""
