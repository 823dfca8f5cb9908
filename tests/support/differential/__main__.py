"""Run by scripts/differential."""

import sys

from differential.command import main

sys.exit(main(sys.argv[1:]))
