"""`python -m observe.report`, which `scripts/report` runs."""

import sys

from observe.report.cli import main

sys.exit(main())
