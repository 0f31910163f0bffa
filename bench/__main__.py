"""`python -m bench`, which `scripts/bench` runs."""

import sys

from bench.cli import main

sys.exit(main())
