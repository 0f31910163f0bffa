"""`python -m open_website`, which `scripts/open_website` runs."""

import sys

from open_website.cli import main

sys.exit(main())
