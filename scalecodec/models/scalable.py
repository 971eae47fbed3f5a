"""Systems 7 and 8: inner tensors of task networks from the first layers, the picture from all (Choi and Bajic 2022,
arXiv:2107.08373; 2021, arXiv:2105.10089). Two layers for one task, three for two.

The tasks' networks are no part of the model. Training needs their front halves (:meth:`ScalableModel.attach`), decoding
none: what comes out goes into their back halves. Nor are transforms to features part of what a file is of: others,
trained for the same codec, take its files as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, takewhile
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scalecodec.layers import analysis, direct_feature_synthesis, feature_synthesis, synthesis

from .base import digest_of
from .layered import LayeredModel, mean_square

Front = Callable[[Tensor], Tensor]
_STRIDES = (4, 8, 16)
_SPARE = 2  # rows and columns that a network without padding may lack, or have more


class ScalableModel(LayeredModel):
    """A layer for each task, and one for people.

    Parameters
    ----------
    features0, features1 : channels of each task's tensor; 0: there is no such task
    stride0, stride1 : pixels of one side of its elements, 4, 8 or 16
    unpacked : whether a task's transform begins as the picture's synthesis does, as in all but files of old
    channels, layer0, layer1, layer2, shared, offsets, hyper_step, integers : as of :class:`LayeredModel`
    """

    counts: tuple[int, ...] = (2, 3)
    gammas: Tensor  # weights of the tasks' errors in training, [tasks]

    def __init__(
        self,
        channels: int = 96,
        features0: int = 256,
        stride0: int = 8,
        features1: int = 0,
        stride1: int = 8,
        unpacked: bool = True,
        **layers: Any,
    ) -> None:
        self.unpacked = bool(unpacked)
        self.sizes = tuple(takewhile(bool, (features0, features1)))
        self.strides = (stride0, stride1)[: len(self.sizes)]
        if not set(self.strides) <= set(_STRIDES):
            raise ValueError(f"strides must be of {_STRIDES}, got {self.strides}")
        super().__init__(channels, **layers)
        if len(self.sizes) != self.num_layers - 1 or len(self.tasks) != len(self.sizes):
            raise ValueError(f"{self.num_layers} layers are for {self.num_layers - 1} tasks, got {len(self.sizes)}")
        self.register_buffer("gammas", torch.ones(len(self.sizes)), persistent=False)  # of training, no part of a file
        self._fronts: tuple[Front, ...] = ()

    def _make_networks(self, n: int, layers: Sequence[int]) -> None:
        self.g_a, self.g_s = analysis(n, sum(layers)), synthesis(n, sum(layers))
        seen = accumulate(layers)  # a task sees its own layer and those before
        tasks = zip(seen, self.sizes, self.strides, strict=False)
        transform = feature_synthesis if self.unpacked else direct_feature_synthesis
        self.tasks = nn.ModuleList(transform(n, m, size, stride) for m, size, stride in tasks)

    def config(self) -> dict[str, int]:
        tasks = {f"features{number}": size for number, size in enumerate(self.sizes)}
        tasks |= {f"stride{number}": stride for number, stride in enumerate(self.strides)}
        return super().config() | tasks | ({"unpacked": 1} if self.unpacked else {})

    def attach(self, fronts: Sequence[Front]) -> None:
        """Take the tasks' front halves: pixels [B, 3, H, W] in [0, 1] to what :meth:`features` is to give."""
        if not isinstance(fronts, Sequence) or not all(map(callable, fronts)):
            raise TypeError(f"fronts must be a sequence of callables, got {fronts!r}")
        if len(fronts) != len(self.sizes):
            raise ValueError(f"wanted {len(self.sizes)} front halves, got {len(fronts)}")
        self._fronts = tuple(fronts)

    def is_identified(self, name: str) -> bool:
        transforms = self.unpacked and name.startswith("tasks.")  # files of old are of their transforms, too
        return super().is_identified(name) and not transforms

    def ids(self) -> dict[str, bytes]:
        tasks = {name: tensor for name, tensor in self.state_dict().items() if name.startswith("tasks.")}
        return super().ids() | ({"tasks_id": digest_of(tasks)} if self.unpacked else {})

    def weigh(self, pictures: Tensor, weights: Sequence[float]) -> None:
        """Weigh the tasks' errors: ``weights`` times the variance of these pictures over that of their features, whose
        scale is any network's own. ValueError where that is no number.
        """
        if len(weights) != len(self.sizes):
            raise ValueError(f"wanted {len(self.sizes)} weights, got {len(weights)}")
        for task, weight in enumerate(weights):
            self.gammas[task] = weight * pictures.var() / self.wanted(pictures, task).var()
        if not bool(self.gammas.isfinite().all()):
            raise ValueError("features of no variance have no weight: are these the tasks' networks?")

    def wanted(self, x: Tensor, task: int) -> Tensor:
        """A task's features of pictures, [B, C, H / stride, W / stride]: cut or extended to that at the right and the
        bottom, as networks without padding give fewer.
        """
        if not self._fronts:
            raise ValueError("attach the tasks' front halves first")
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            found = self._fronts[task](x.float()).float()
        size, stride = self.sizes[task], self.strides[task]
        height, width = x.shape[-2] // stride, x.shape[-1] // stride
        if found.dim() != 4 or found.shape[1] != size:
            raise ValueError(f"task {task} must give [B, {size}, h, w], got {tuple(found.shape)}")
        if abs(found.shape[-2] - height) > _SPARE or abs(found.shape[-1] - width) > _SPARE:
            got = f"{found.shape[-2]} x {found.shape[-1]}"
            raise ValueError(f"task {task} must give about {height} x {width} of {x.shape[-2:]}, got {got}")
        fill = (0, max(0, width - found.shape[-1]), 0, max(0, height - found.shape[-2]))
        return F.pad(found, fill, mode="replicate")[..., :height, :width]

    def features(self, y_hat: Tensor, task: int) -> Tensor:
        """A task's features [B, C, 16 h / stride, 16 w / stride], from the layers that it sees."""
        seen = sum(self.layer_channels[: task + 1])
        found: Tensor = self.tasks[task](y_hat[:, :seen])
        return found

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ScalableModel:
        """To another device or dtype, with the front halves: these are no submodules, lest they be trained or saved."""
        for front in self._fronts:
            if isinstance(front, nn.Module):
                front._apply(fn, recurse)
        super()._apply(fn, recurse)
        return self

    def shows(self, num_layers: int) -> bool:
        return num_layers == self.num_layers

    def distortion(self, x: Tensor, seen: Tensor, y_hat: Tensor) -> tuple[Tensor, Tensor]:
        picture = total = mean_square(self.reconstruct(y_hat, self.num_layers), x)
        for task, gamma in enumerate(self.gammas):
            total = total + gamma * mean_square(self.features(y_hat, task), self.wanted(x, task))
        return total, picture
