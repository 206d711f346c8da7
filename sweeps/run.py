"""The sweep job: ``python sweeps/run.py --config FILE``, from the root of the repository; see `driver.py`."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a script has only its own folder on its path
    from sweeps.driver import main

    main()
