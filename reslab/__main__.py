"""`python -m reslab` is `reslab`."""

import sys

from reslab.cli.main import main

sys.exit(main())
