"""scalecodec features fit, design, encode, decode: from tensors in files to a codec, and through it."""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .tensor_files import read_tensors, write_tensor
from .terminal import add_json, blaming, progress, show

_TENSORS = "activations in .npy or .safetensors"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    fit = commands.add_parser("fit", help="the clip range of activations: by the model, and by a search")
    fit.add_argument("tensors", nargs="+", metavar="TENSOR", help=_TENSORS)
    fit.add_argument("--activation", default="relu", choices=("relu", "leaky_relu", "none"), help="what made them")
    fit.add_argument("--negative-slope", type=float, default=0.1, help="of a leaky ReLU")
    fit.add_argument("--levels", type=int, default=4, help="of a uniform quantizer, 2 to 256")
    add_json(fit)
    fit.set_defaults(run=_fit)

    design = commands.add_parser("design", help="a quantizer and tables for activations: a codec file")
    design.add_argument("tensors", nargs="+", metavar="TENSOR", help=_TENSORS)
    design.add_argument("-o", "--output", required=True, help="codec file to write, .scq")
    design.add_argument("--levels", type=int, default=4, help="2 to 256 at first")
    rate = design.add_mutually_exclusive_group()
    rate.add_argument("--lagrangian", type=float, default=0.0, help="squared error that a bit may cost")
    rate.add_argument("--target-bits", type=float, help="bits an element, before tables by neighbours save some")
    design.add_argument("--c-min", type=_end, default=0.0, help="lower end of the clip range, or 'search' (default: 0)")
    design.add_argument("--c-max", type=_end, help="upper end, or 'search' (default)")
    design.add_argument("--coding", default="context", choices=("static", "channel", "context"), help="of symbols")
    add_json(design)
    design.set_defaults(run=_design)

    encode = commands.add_parser("encode", help="code a tensor")
    encode.add_argument("tensor", metavar="TENSOR", help=_TENSORS)
    encode.add_argument("-c", "--codec", required=True, help="codec file of `features design`")
    encode.add_argument("-o", "--output", help="default: the tensor's name with .scf")
    encode.add_argument("--alone", action="store_true", help="bring the tables along: no codec is needed to decode")
    add_json(encode)
    encode.set_defaults(run=_encode)

    decode = commands.add_parser("decode", help="decode a tensor")
    decode.add_argument("file", help=".scf file")
    decode.add_argument("-c", "--codec", help="codec file, unless the tables came along")
    decode.add_argument("-o", "--output", required=True, help=".npy or .safetensors")
    add_json(decode)
    decode.set_defaults(run=_decode)


def _end(text: str) -> float | None:
    """An end of a clip range, None to search for it; argparse reports the ValueError of others."""
    return None if text == "search" else float(text)


def read_codec(path: str) -> Any:
    """The FeatureCodec of a codec file."""
    from scalecodec.features import FeatureCodec

    data = Path(path).read_bytes()
    with blaming(path):
        return FeatureCodec.from_bytes(data)


def _fit(options: argparse.Namespace) -> None:
    from scalecodec import features

    counted = _counted(options.tensors)
    activation = None if options.activation == "none" else options.activation
    choice = features.choose_range(counted, options.levels, activation, options.negative_slope)
    result = {"count": counted.count, "mean": counted.mean, "variance": counted.variance, **asdict(choice)}
    if activation:
        result["model"] = asdict(features.fit(counted, activation, options.negative_slope))
    lines = [f"{counted.count} activations from {counted.lowest:g} to {counted.highest:g}, mean {counted.mean:g}"]
    lines.append(f"{choice.levels} levels in {choice.c_min:g} to {choice.c_max:g}, by the {choice.source}")
    lines.append(f"mean squared error {choice.distortion:g}, the best {choice.searched_distortion:g}")
    if choice.misfit is not None:
        lines.append(f"the model's: {choice.model_distortion:g}; its distribution is off by up to {choice.misfit:.3f}")
    show(options, result, "\n".join(lines))


def _design(options: argparse.Namespace) -> None:
    from scalecodec import features
    from scalecodec.container import write_atomic

    counted = _counted(options.tensors)
    quantizer = features.design(
        counted,
        options.levels,
        options.lagrangian,
        options.c_min,
        options.c_max,
        target_bits=options.target_bits,
    )
    codec = features.FeatureCodec(quantizer, options.coding).calibrate(_each(options.tensors, "tables"))
    write_atomic(options.output, codec.to_bytes())
    result = {
        "output": options.output,
        "id": codec.id.hex(),
        "levels": quantizer.levels.tolist(),
        "thresholds": quantizer.thresholds.tolist(),
        "bits": quantizer.bits(counted),
        "distortion": quantizer.distortion(counted),
    }
    levels = ", ".join(f"{level:g}" for level in quantizer.levels)
    text = f"{options.output}: codec {codec.id.hex()}, levels {levels}\n"
    text += f"entropy {result['bits']:.3f} bits an element, mean squared error {result['distortion']:g}"
    show(options, result, text)


def _encode(options: argparse.Namespace) -> None:
    from scalecodec.container import write_atomic
    from scalecodec.features import FeatureCodec

    codec = read_codec(options.codec)
    tensors = read_tensors([options.tensor])
    if len(tensors) != 1:
        raise ValueError(f"{options.tensor} holds {len(tensors)} tensors, wanted one")
    if options.alone:
        codec = FeatureCodec(codec.quantizer, codec.coding)
    data = codec.encode(tensors[0])
    output = options.output or str(Path(options.tensor).with_suffix(".scf"))
    write_atomic(output, data)
    count = max(1, math.prod(tensors[0].shape))
    result = {"output": output, "bytes": len(data), "bits_per_element": 8 * len(data) / count}
    show(options, result, f"{output}: {len(data)} bytes, {result['bits_per_element']:.3f} bits an element")


def _decode(options: argparse.Namespace) -> None:
    from scalecodec import features

    data = Path(options.file).read_bytes()
    with blaming(options.file):
        tensor = read_codec(options.codec).decode(data) if options.codec else features.decode(data)
    write_tensor(options.output, tensor)
    result = {"output": options.output, "shape": list(tensor.shape), "dtype": str(tensor.dtype).removeprefix("torch.")}
    show(options, result, f"{options.output}: {result['dtype']} of shape {result['shape']}")


def _counted(paths: list[str]) -> Any:
    from scalecodec.features import Histogram

    return Histogram(_each(paths, "counting"))


def _each(paths: list[str], text: str) -> Any:
    """Tensors one file at a time, as they may be many."""
    for number, path in enumerate(paths):
        progress(number / len(paths), f"{text}: {path}")
        yield from read_tensors([path])
    progress(1, "")
