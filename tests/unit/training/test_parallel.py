"""BatchNorm over several processes, for networks whose layers are timm's own."""

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from tests.fixtures.gloo import Pool
from vipl.models.encoder import Encoder
from vipl.training.parallel import TimmSyncBatchNorm


def encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder("test_efficientnet", output_dim=8, image_size=32)


def images(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)


def test_the_activation_that_timm_joins_with_a_norm_stays():
    expected = encoder().embed(images(4))
    synchronous = TimmSyncBatchNorm().apply(encoder())
    norms = [type(m).__name__ for m in synchronous.modules() if "BatchNorm" in type(m).__name__]
    assert set(norms) == {"SyncBatchNormAct"}
    torch.testing.assert_close(synchronous.embed(images(4)), expected, rtol=0, atol=0)
    # PyTorch's own conversion, which Lightning uses, makes another network of it.
    other = torch.nn.SyncBatchNorm.convert_sync_batchnorm(encoder())
    assert (other.embed(images(4)) - expected).abs().max() > 1e-3


def gradients(shares: list[int], rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the embeddings of a process's share, and the gradient of the mean of all."""
    network: nn.Module = TimmSyncBatchNorm().apply(encoder()).cuda().train()
    wrapped = DistributedDataParallel(network, device_ids=[0]) if len(shares) > 1 else network
    first = sum(shares[:rank])
    own = images(sum(shares))[first : first + shares[rank]].cuda()
    embeddings = wrapped(own)
    (embeddings.square().sum() * len(shares) / sum(shares)).backward()
    gradient = torch.cat([p.grad.flatten() for p in network.parameters()])
    return embeddings.detach().cpu(), gradient.cpu()


def share_of(shares: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    return gradients(shares, torch.distributed.get_rank())


@pytest.mark.gpu
@pytest.mark.parametrize("shares", [[8, 8], [10, 6]])
def test_statistics_are_those_of_the_whole_batch(shares):
    """Two processes share one GPU, over gloo."""
    expected, gradient = gradients([sum(shares)], 0)
    pool = Pool()
    try:
        parts = pool.run(2, share_of, shares)
    finally:
        pool.close()
    torch.testing.assert_close(
        torch.cat([part[0] for part in parts]), expected, rtol=1e-4, atol=1e-5
    )
    for _, one in parts:
        assert (one - gradient).abs().max() <= 1e-4 * gradient.abs().max()
