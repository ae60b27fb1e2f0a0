"""The release desk and the signer use this room's pure side on machines that have no probe software."""

from __future__ import annotations

import subprocess
import sys


def test_parsers_profiles_and_errors_need_nothing_but_the_standard_library() -> None:
    script = (
        "import sys\n"
        "from appliance.target import boards, errors, image, stub_protocol\n"
        "print(sorted({'pyocd', 'intelhex', 'elftools', 'cryptography', 'tuf', 'usb'} & set(sys.modules)))\n"
    )
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert loaded.stdout == "[]\n"
