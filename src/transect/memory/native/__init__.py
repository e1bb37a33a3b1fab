# SPDX-License-Identifier: Apache-2.0
"""Probes in C, on a machine whose memory is a file: the same findings as the interpreter's, in microseconds."""
