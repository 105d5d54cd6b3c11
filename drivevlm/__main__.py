"""``python -m drivevlm`` is the command ``drivevlm``."""

import sys

from drivevlm.app import main

sys.exit(main())
