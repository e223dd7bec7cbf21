"""`python -m pathorob_checks`: the command."""

import sys

from pathorob_checks.cli import main

sys.exit(main())
