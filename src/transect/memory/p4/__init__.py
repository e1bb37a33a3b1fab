# SPDX-License-Identifier: Apache-2.0
"""Chains in a programmable switch: the P4-16 program, the entries of its tables, whether they fit, and a switch of our
own that executes the program."""
