"""`python -m fuzzing`, which is what scripts/fuzz runs."""

from __future__ import annotations

import sys

from fuzzing.command import main

sys.exit(main())
