"""Builds the cycle meter beside the virtual board's Python modules (a plain shared library for ctypes)."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "hil.virtual_nucleo._cycles",
            sources=["virtual_nucleo/_cycles.c"],
            extra_compile_args=["-O2", "-Wall", "-Wextra", "-Werror"],
        )
    ]
)
