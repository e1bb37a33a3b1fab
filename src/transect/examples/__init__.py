# SPDX-License-Identifier: Apache-2.0
"""Example policies: shipped with the package, shown in the documentation, used by the tests.

A folder per stratum; what runs in all of them lies beside this file.  No two have the same name.
"""
