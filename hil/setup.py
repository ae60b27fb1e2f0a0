"""Builds the virtual board's two C parts beside its Python modules.

The cycle meter is a plain shared library for ctypes; the wire is an extension module for every Python from 3.11 on,
and speaks the table of pins that the SWD core defines.
"""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "hil.virtual_nucleo._cycles",
            sources=["virtual_nucleo/_cycles.c"],
            extra_compile_args=["-O2", "-Wall", "-Wextra", "-Werror"],
        ),
        Extension(
            "hil.virtual_nucleo._wire",
            sources=[f"virtual_nucleo/{name}.c" for name in ("_wire", "_wire_slave", "_wire_doors")],
            depends=["virtual_nucleo/_wire.h", "../appliance/swd/core/pins_v1.h"],
            include_dirs=["../appliance/swd/core"],
            define_macros=[("Py_LIMITED_API", "0x030B0000"), ("_GNU_SOURCE", None), ("PY_SSIZE_T_CLEAN", None)],
            extra_compile_args=["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-Wno-missing-field-initializers"],
            py_limited_api=True,
        ),
    ]
)
