"""`python -m sleeplib.cli`"""

import sys

from sleeplib.cli import main

sys.exit(main())
