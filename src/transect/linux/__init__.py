# SPDX-License-Identifier: Apache-2.0
"""What is known of Linux kernels: types (BTF), symbols (kallsyms), images, page tables, dumps.

It reads bytes that others may have written: whatever they hold, the only exception is `KernelDataError`.
"""

from transect.linux.errors import KernelDataError

__all__ = ["KernelDataError"]
