# SPDX-License-Identifier: Apache-2.0
"""The compiler's heart: types, tree, front end, definition (the interpreter), facts and passes.

Pure, except that it reads policy files.
"""
