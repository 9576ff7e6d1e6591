"""One crop a clip, resampled once."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional

from tests.fixtures.media import moving_square
from vipl.data.processes.augment import (
    Crop,
    centre_square,
    crop_and_resize,
    resample,
    sample_crop,
    shrink,
)


def test_the_crop_is_a_pure_function_of_its_seed_and_shared_by_the_frames():
    frame = moving_square(1, 60, 80)
    frames = np.repeat(frame, 4, axis=0)
    first = crop_and_resize(frames, size=32, seed=(1, 2))
    assert (first == first[0]).all()
    np.testing.assert_array_equal(first, crop_and_resize(frames, size=32, seed=(1, 2)))
    assert (first != crop_and_resize(frames, size=32, seed=(1, 3))).any()
    assert first.dtype == np.uint8
    assert first.shape == (4, 3, 32, 32)


@pytest.mark.parametrize(("height", "width"), [(240, 320), (320, 240), (100, 1000)])
def test_crops_lie_inside_and_have_the_wanted_shares(height, width):
    rng = np.random.default_rng(0)
    crops = [sample_crop(rng, height, width) for _ in range(500)]
    for crop in crops:
        assert crop.left >= 0
        assert crop.top >= 0
        assert crop.left + crop.width <= width + 1e-6
        assert crop.top + crop.height <= height + 1e-6
        assert 0.7 < crop.width / crop.height < 1.4
    shares = [crop.width * crop.height / (height * width) for crop in crops]
    if width != 1000:
        assert min(shares) >= 0.19
        assert max(shares) > 0.6


def test_resampling_equals_a_crop_followed_by_a_resize():
    frames = moving_square(2, 90, 120)
    crop = Crop(10, 20, 60, 48)
    got = resample(frames, crop, 24)
    image = Image.fromarray(frames[1]).crop((10, 20, 70, 68))
    expected = np.asarray(image.resize((24, 24), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    assert np.abs(got[1].astype(int) - expected).max() <= 1


def test_the_central_part_equals_resize_256_and_centre_crop_224():
    """The released recipe resamples twice; one resample of the same rectangle is near it."""
    smooth = np.asarray(
        Image.fromarray(moving_square(1, 64, 64)[0]).resize((512, 512), Image.Resampling.BICUBIC)
    )
    once = resample(smooth[None], shrink(Crop(0, 0, 512, 512), 0.875), 224)[0]
    image = torch.from_numpy(smooth.copy()).permute(2, 0, 1)
    twice = functional.center_crop(functional.resize(image, [256, 256], antialias=True), [224, 224])
    assert np.abs(once.astype(float) - twice.numpy()).mean() < 1.0


def test_without_a_seed_the_crop_is_the_centre():
    assert centre_square(60, 100) == Crop(20, 0, 60, 60)
    assert shrink(Crop(0, 0, 80, 40), 0.5) == Crop(20, 10, 40, 20)
    frames = moving_square(1, 64, 64)
    whole = crop_and_resize(frames, size=64, central_fraction=1.0)
    np.testing.assert_array_equal(whole[0], frames[0].transpose(2, 0, 1))
