# SPDX-License-Identifier: Apache-2.0
"""Emitters: a checked program in, files out.  Pure: nothing here touches a disk, a process or a kernel."""
