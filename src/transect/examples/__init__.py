# SPDX-License-Identifier: Apache-2.0
"""Example policies: shipped with the package, shown in the documentation, used by the tests."""
