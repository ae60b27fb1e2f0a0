"""The image's tests. Those that boot it need what `make image` made, and minutes: `make image-test` runs them.

Asked for by its environment variable and not by a marker: make test must collect nothing that it cannot run.
"""

import os

collect_ignore_glob = [] if os.environ.get("PROOFLINE_IMAGE_TESTS") == "1" else ["test_boot*.py"]
