# SPDX-License-Identifier: Apache-2.0
"""`python -m transect.cli`."""

import sys

from transect.cli import main

sys.exit(main())
