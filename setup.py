"""Builds the one extension module; everything else is in pyproject.toml."""

from glob import glob

from pybind11.setup_helpers import Pybind11Extension, build_ext
from setuptools import setup

setup(
    ext_modules=[
        Pybind11Extension(
            "scalecodec._core",
            sorted(glob("csrc/*.cpp")),
            depends=sorted(glob("csrc/*.hpp")),
            include_dirs=["csrc"],
            cxx_std=17,
            # Quantization promises float32 results, operation by operation, also where a processor could fuse two.
            extra_compile_args=["-O3", "-ffp-contract=off"],
        )
    ],
    cmdclass={"build_ext": build_ext},
)
