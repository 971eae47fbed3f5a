"""Numerical kernels: imported as ``scalecodec.kernels``, and importing nothing of scalecodec outside themselves."""
