# SPDX-License-Identifier: Apache-2.0
"""What everything else stands on: places in a source text, diagnostics, and what a machine lacks.  Stdlib only."""
