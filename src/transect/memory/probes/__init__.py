# SPDX-License-Identifier: Apache-2.0
"""Probes that come with transect: each file is an ordinary policy file, parsed and never imported."""
