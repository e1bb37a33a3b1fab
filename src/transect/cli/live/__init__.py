# SPDX-License-Identifier: Apache-2.0
"""The verbs that reach a running instance, the same in every stratum.

Each module has a function, named like the verb, that makes the verb for the stratum that it is given.
"""
