"""The world of the gateway's tests lives beside them; importlib mode needs its folder named."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
