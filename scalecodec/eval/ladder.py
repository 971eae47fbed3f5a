"""One rung of a codec's ladder, the only thing an evaluation knows of a codec; and the ladder of our own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Samples: TypeAlias = npt.NDArray[np.uint8]

DEFAULT_GAINS = (0.064, 0.09, 0.127, 0.18, 0.25, 0.35, 0.5, 0.7, 1.0)


@dataclass(frozen=True)
class Rung:
    """A codec at one setting.

    Attributes
    ----------
    label : str
        Names the codec, the same for all rungs of a ladder.
    setting : float
        Quality, gain, target rate: whatever the codec calls it.
    encode : callable, uint8 [H, W, 3] -> bytes
    decode : callable, bytes -> uint8 [H, W, 3]
    """

    label: str
    setting: float
    encode: Callable[[Samples], bytes]
    decode: Callable[[bytes], Samples]


def scalecodec_ladder(
    model: Any = "vbr-mean", gains: Sequence[float] = DEFAULT_GAINS, label: str | None = None
) -> tuple[Rung, ...]:
    """Our own codec at several gains.

    Parameters
    ----------
    model : str, path or CompressionModel
        As `scalecodec.codec` takes it.
    gains : sequence of float
        1 / step, one a rung.
    label : str, optional
        The model's name by default; a model that is none has to have one.

    Raises
    ------
    ValueError
        `gains` is empty.
    """
    if not gains:
        raise ValueError("a ladder needs at least one gain")
    from scalecodec import codec  # loads torch

    return tuple(
        Rung(
            label or str(model), gain, partial(codec.encode, model=model, gain=gain), partial(codec.decode, model=model)
        )
        for gain in gains
    )
