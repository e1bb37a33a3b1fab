# SPDX-License-Identifier: Apache-2.0
"""Example policies: shipped with the package, shown in the documentation, used by the tests.

A folder per stratum; policies that run in every stratum lie beside this file.  No two policies have the same name.
"""
