# SPDX-License-Identifier: Apache-2.0
"""Policies that decide whose request an LLM server runs next."""
