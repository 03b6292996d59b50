"""The seed of this process's rounds: drawn, printed with every row, and given back to repeat one."""

from __future__ import annotations

import os
import random

SEED = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
