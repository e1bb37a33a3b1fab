# SPDX-License-Identifier: Apache-2.0
"""Reading another machine's memory by RDMA READs over RoCE version 2, from user space, without an RDMA card here."""
