"""`python -m wgm`, which `scripts/wgm` runs."""

import sys

from wgm.cli import main

sys.exit(main())
