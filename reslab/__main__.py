"""`python -m reslab` is `reslab`."""

import sys

from reslab.cli import main

sys.exit(main())
