# SPDX-License-Identifier: Apache-2.0
"""Walks over a target's memory as data, so that they run where packets pass: in XDP, or in a programmable switch."""
