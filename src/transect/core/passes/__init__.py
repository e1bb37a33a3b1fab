# SPDX-License-Identifier: Apache-2.0
"""Passes: pure functions from program to program, each with a name; a target lists its own in one tuple."""
