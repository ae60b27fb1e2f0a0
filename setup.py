"""Builds the SWD core beside its room (everything else is in pyproject.toml).

- One extension module for every Python from 3.11 on (the limited API), so one wheel an architecture.
- Only on Linux, whose GPIO it drives; elsewhere the package is pure Python and is what it always was, a verifier.
- Warnings are errors: the same sources are compiled on every station's architecture.
"""

import sys
from pathlib import Path

from setuptools import Extension, setup

CORE = "appliance/swd/core"
SOURCES = ("module", "wire", "pins_object", "pins_null", "pins_socket", "pins_gpiomem", "pins_chip", "sleep")

swd_core = Extension(
    "appliance.swd._core",
    sources=[f"{CORE}/{name}.c" for name in SOURCES],
    depends=sorted(str(path) for path in Path(CORE).glob("*.h")),
    define_macros=[("Py_LIMITED_API", "0x030B0000"), ("_GNU_SOURCE", None), ("PY_SSIZE_T_CLEAN", None)],
    extra_compile_args=["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-Wno-missing-field-initializers"],
    py_limited_api=True,
)

setup(
    ext_modules=[swd_core] if sys.platform == "linux" else [],
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if sys.platform == "linux" else {},
)
