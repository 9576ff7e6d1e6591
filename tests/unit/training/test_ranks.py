"""N processes train like one that has the whole batch: the same loss, gradients and weights."""

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from vipl.data.loading.samples import Batch
from vipl.models.encoder import Encoder
from vipl.objectives import LSTD, TCN, VIP, Objective
from vipl.processes.ranks import Ranks
from vipl.training.module import VIPModule

SIZE, STEPS = 4, 3
# Clips of each process; one process has them all. An uneven batch is the last of a data set.
EVEN = {2: [4, 4], 4: [2, 2, 2, 2]}
UNEVEN = {2: [4, 3], 4: [2, 2, 2, 1]}


class SmallEncoder(nn.Module):
    """A network that works in any precision."""

    image_size = SIZE

    def __init__(self, dtype: torch.dtype, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(3 * SIZE**2, 16), nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, 8)
        ).to(dtype)
        self.layers[-1].weight.data *= 10  # distances of about 10: means differ from each other
        self.dtype = dtype

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        embeddings: torch.Tensor = self.layers((images.flatten(1) / 255).to(self.dtype))
        return embeddings


class Loss(nn.Module):
    """What DDP wraps."""

    def __init__(self, module: VIPModule) -> None:
        super().__init__()
        self.module = module

    def forward(self, batch: Batch, number: int) -> torch.Tensor:
        return self.module.total(*self.module.parts(batch, number))


def batch_of(clips: int, number: int, *, dense: bool) -> Batch:
    generator = torch.Generator().manual_seed(number)
    shape = (clips, 3, 2) if dense else (clips, 4)
    frames = torch.randint(256, (*shape, 3, SIZE, SIZE), generator=generator, dtype=torch.uint8)
    first = torch.tensor([1, 4, 6]).expand(clips, 3)
    tuples = torch.tensor([0, 9, 4, 5]).expand(clips, 4)
    times = torch.stack([first, first + 1], -1) if dense else tuples
    return Batch(frames, times, [])


def train(dtype: torch.dtype, shares: list[int], objective: Objective, dense: bool):
    """Train a few steps; return the losses, the first gradients, and the last weights."""
    torch.manual_seed(0)
    module = VIPModule(SmallEncoder(dtype), seed=3, objective=objective)
    module.setup("fit")
    loss_of = Loss(module)
    wrapped = DistributedDataParallel(loss_of) if len(shares) > 1 else loss_of
    optimiser = torch.optim.SGD(module.parameters(), lr=0.1)
    rank = module.ranks.rank
    losses, gradients = [], []
    for number in range(STEPS):
        whole = batch_of(sum(shares), number, dense=dense)
        own = slice(sum(shares[:rank]), sum(shares[: rank + 1]))
        loss = wrapped(Batch(whole.frames[own], whole.times[own], []), number)
        optimiser.zero_grad()
        loss.backward()
        losses.append(loss.item())
        gradients.append(torch.cat([p.grad.flatten().clone() for p in module.parameters()]))
        optimiser.step()
    weights = torch.cat([p.detach().flatten() for p in module.parameters()])
    return torch.tensor(losses, dtype=torch.float64), torch.stack(gradients), weights


@pytest.mark.parametrize("shares", [EVEN, UNEVEN], ids=["even", "uneven"])
@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize(
    ("objective", "dense"),
    [
        (VIP(num_negatives=0), False),
        (VIP(num_negatives=3), False),
        (VIP(num_negatives=2, negatives="joint"), False),
        (VIP(num_negatives=2), True),
        (LSTD(num_negatives=2), False),
        (LSTD(num_negatives=2), True),
        (TCN(num_negatives=2), False),
        (TCN(num_negatives=2), True),
    ],
    ids=["plain", "separate", "joint", "dense", "lstd", "lstd_dense", "tcn", "tcn_dense"],
)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)], ids=["f64", "f32"]
)
def test_n_processes_train_like_one(pool, dtype, tolerance, objective, dense, count, shares):
    expected = train(dtype, [sum(shares[count])], objective, dense)
    for result in pool.run(count, train, dtype, shares[count], objective, dense):
        for name, one, all_of_them in zip(
            ("loss", "gradient", "weights"), expected, result, strict=True
        ):
            error = (one - all_of_them).abs().max() / one.abs().max()
            assert error <= tolerance, f"{name}: {error:.1e}"


def test_a_mean_of_the_processes_own_losses_is_another_loss():
    """What the test above would not notice if it could not fail."""
    dtype, objective = torch.float64, VIP(num_negatives=0)
    whole = train(dtype, [8], objective, False)[0][0]
    torch.manual_seed(0)
    module = VIPModule(SmallEncoder(dtype), seed=3, objective=objective)
    batch = batch_of(8, 0, dense=False)
    halves = [Batch(batch.frames[own], batch.times[own], []) for own in (slice(4), slice(4, 8))]
    mean = sum(module.total(*module.parts(half, 0)).item() for half in halves) / 2
    assert abs(mean - whole) > 1e-4 * abs(whole)


def noise(number: int) -> float:
    torch.manual_seed(0)
    module = VIPModule(SmallEncoder(torch.float64, dropout=0.5), seed=3)
    module.setup("fit")
    torch.rand(7)  # what ran before does not matter
    return module.total(*module.parts(batch_of(4, 0, dense=False), number)).item()


def test_dropout_depends_on_the_batch_and_the_process_alone(pool):
    assert noise(1) == noise(1) != noise(2)
    own = pool.run(2, embeddings_under_dropout)
    assert own[0] != own[1]


def embeddings_under_dropout() -> list[float]:
    torch.manual_seed(0)
    module = VIPModule(SmallEncoder(torch.float64, dropout=0.5), seed=3)
    module.setup("fit")
    seen: list[float] = []
    module.encoder.register_forward_hook(lambda *call: seen.extend(call[-1][0].tolist()))
    module.parts(batch_of(4, 0, dense=False), 1)
    return seen


def running_mean() -> list[float]:
    torch.manual_seed(0)
    module = VIPModule(Encoder("test_resnet", output_dim=2, image_size=32))
    module.setup("fit")
    module.encoder.train()
    frames = torch.full((2, 3, 32, 32), 100 * module.ranks.rank, dtype=torch.uint8)
    module.encoder(frames)
    module.on_validation_epoch_start()
    return [float(buffer.float().mean()) for buffer in module.encoder.buffers()]


def test_all_processes_validate_with_the_first_ones_averages(pool):
    assert pool.run(2, running_mean) == [running_mean()] * 2


def told(facts: dict[int, int]) -> tuple[list[list[int]], list[str]]:
    ranks = Ranks()
    return ranks.tell(ranks.rank, facts[ranks.rank])().tolist(), ranks.gather(f"r{ranks.rank}")


def test_processes_tell_each_other_numbers_and_things(pool):
    answer = ([[0, 5], [1, 7]], ["r0", "r1"])
    assert pool.run(2, told, {0: 5, 1: 7}) == [answer, answer]
    assert told({0: 5}) == ([[0, 5]], ["r0"])
