"""Wavelets by lifting: PyWavelets' coefficients inside, and the very picture back."""

from __future__ import annotations

import numpy as np
import pytest
import pywt
import torch

from scalecodec.layers import Wavelet

TWINS = {"haar": "haar", "5/3": "bior2.2", "9/7": "bior4.4"}


@pytest.fixture(scope="module")
def x():
    return torch.randn(2, 3, 24, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", TWINS)
def test_coefficients_are_those_of_pywavelets(kind, x):
    low, high = Wavelet(kind)(x)
    wanted, details = pywt.dwt2(x.numpy(), TWINS[kind], mode="periodization")
    inside = np.s_[:, :, 3:-3, 3:-3]  # borders are another matter: ours are mirrored
    np.testing.assert_allclose(low[inside], wanted[inside], atol=1e-10)
    horizontal, vertical, diagonal = details  # its high band is ours with the other sign
    for found, expected in zip(high.chunk(3, 1), (-vertical, -horizontal, diagonal), strict=True):
        np.testing.assert_allclose(found[inside], expected[inside], atol=1e-10)


@pytest.mark.parametrize("kind", TWINS)
@pytest.mark.parametrize("size", [(2, 2), (2, 8), (6, 4), (64, 30)])
def test_the_picture_comes_back(kind, size):
    x = torch.randn(1, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    wavelet = Wavelet(kind)
    low, high = wavelet(x)
    assert low.shape == (1, 3, size[0] // 2, size[1] // 2)
    assert high.shape == (1, 9, size[0] // 2, size[1] // 2)
    torch.testing.assert_close(wavelet.inverse(low, high), x, rtol=0, atol=1e-12)
    torch.testing.assert_close(wavelet.inverse(*wavelet(x.float())), x.float(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", TWINS)
def test_a_flat_picture_has_no_detail(kind):
    low, high = Wavelet(kind)(torch.full((1, 1, 8, 8), 0.5, dtype=torch.float64))
    torch.testing.assert_close(low, torch.full_like(low, 1.0), rtol=0, atol=1e-6)  # of 2 x 2 pixels, orthonormal
    assert high.abs().max() < 1e-6


def test_what_is_refused():
    with pytest.raises(ValueError, match="haar, 5/3, 9/7, got 'db2'"):
        Wavelet("db2")
    for size in ((3, 4), (4, 3), (0, 4)):
        with pytest.raises(ValueError, match="sides must be even"):
            Wavelet()(torch.rand(1, 1, *size))
