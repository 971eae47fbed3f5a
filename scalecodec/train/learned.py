"""What of a model a run learns, and what follows from it."""

from __future__ import annotations

from torch import Tensor

from scalecodec.entropy_models import TABLE_BUFFERS
from scalecodec.models import CompressionModel

TRANSFORMS = ("g_a.", "g_s.")
# What a run fills at its end.
_MADE_LATER = (*TABLE_BUFFERS, "scale_table", "scale_bound", "offset_table", "exponents")


def learned(model: CompressionModel) -> dict[str, Tensor]:
    """A model's weights, without what is made of them."""
    return {name: tensor for name, tensor in model.state_dict().items() if is_learned(name)}


def is_learned(name: str) -> bool:
    return not name.endswith(_MADE_LATER) and "integers" not in name.split(".")


def follows_rate(name: str) -> bool:
    """Whether a weight is of a part that follows the rate."""
    return not {"QuantABCD", "gayn2zqstep", "scale_to_context"}.isdisjoint(name.split("."))
