"""`python -m sleeplib`, as `torchrun` starts it."""

import sys

from sleeplib.cli import main

sys.exit(main())
