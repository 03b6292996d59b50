"""The seed of this process's rounds: drawn, printed in every row; CHAOS_SEED repeats it."""

from __future__ import annotations

import os
import random

SEED = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
