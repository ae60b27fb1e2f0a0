"""Puts the crash shim into a child process: Python imports this by itself when the folder is on PYTHONPATH.

Nothing happens unless PROOFLINE_CRASH_DIRS is set (see `crashshim`).
"""

import crashshim  # type: ignore[import-not-found]  # beside this file, which is on the path when this runs

crashshim.install_from_environ()
