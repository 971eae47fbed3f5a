"""Quantization doors: latents to integer symbols and back, scales to table indexes.

Dense CPU tensors of float32 go through the compiled core, in one pass; all others through torch, which gives the same
results in several. The order of operations is fixed, each rounded to float32: ``round((latent - mean) * gain)``,
``max(scale * gain, scale_bound)`` and ``symbols / gain + mean``. A gain that is not 1 is rounded to float32 first.
"""

from .checks import check_scales, check_threads
from .indexes import build_indexes, quantize_and_index
from .offset import Quantized, Simulated, offset_dequantize, offset_quantize, offset_simulate
from .symbols import dequantize, dequantize_, round_ste, to_symbols

__all__ = [
    "Quantized",
    "Simulated",
    "build_indexes",
    "check_scales",
    "check_threads",
    "dequantize",
    "dequantize_",
    "offset_dequantize",
    "offset_quantize",
    "offset_simulate",
    "quantize_and_index",
    "round_ste",
    "to_symbols",
]
