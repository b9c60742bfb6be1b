"""``python -m api.inspector``."""

import sys

from api.inspector.command import main

sys.exit(main())
