# SPDX-License-Identifier: Apache-2.0
"""`transect llm key`: API keys of tenants."""
