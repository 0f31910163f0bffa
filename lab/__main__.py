"""`python -m lab`: what scripts/lab runs."""

from lab.cli import main

main()
