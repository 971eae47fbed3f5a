"""scalecodec features: codecs for the activations of split networks, from tensors in files."""

from __future__ import annotations

import argparse

from . import features_codec, features_eval, features_link

_PARTS = (features_codec, features_link, features_eval)


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("features", help="code the activations of split networks")
    parts = parser.add_subparsers(metavar="WHAT", required=True)
    for part in _PARTS:
        part.add_parser(parts)
