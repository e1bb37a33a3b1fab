# SPDX-License-Identifier: Apache-2.0
"""The verbs that reach what runs, the same in every stratum.

Each module has a function that makes the verb for a stratum, by its name.
"""
