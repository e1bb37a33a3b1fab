# SPDX-License-Identifier: Apache-2.0
"""The compiler's heart: types, tree, front end, definition (the interpreter), facts and passes.

Pure, but for reading policy files.
"""
