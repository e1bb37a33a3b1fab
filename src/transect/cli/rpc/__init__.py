# SPDX-License-Identifier: Apache-2.0
"""`transect rpc`: the verbs of the rpc stratum."""
