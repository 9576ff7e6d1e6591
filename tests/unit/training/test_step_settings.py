"""The training step: what makes it fast must not change what it computes, nor what is saved."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.unit.training.bench.test_bench import fit, paper_batch, small_module
from vipl.data.loading.samples import Batch
from vipl.errors import UserError
from vipl.models import load_encoder, save_encoder
from vipl.objectives import LSTD, TCN, VIP, dense_terms
from vipl.training.bench.kernels import SyncCounter
from vipl.training.bench.step_timer import StepTimer
from vipl.training.fit import FitCLI


@pytest.fixture
def compiled_sizes(monkeypatch):
    """Have networks compiled without a C++ compiler; lists the batch sizes that they get."""
    sizes = []

    def backend(graph, inputs):
        def run(*arguments):
            tensors = [a for a in arguments if isinstance(a, torch.Tensor)]
            sizes.extend(len(a) for a in tensors if a.shape[1:] == (3, 32, 32))
            return graph.forward(*arguments)

        return run

    original = torch.nn.Module.compile
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda module: original(module, backend=backend)
    )
    yield sizes
    torch._dynamo.reset()


def test_a_compiled_network_trains_alike_and_keeps_its_names(compiled_sizes, tmp_path):
    losses, names = [], []
    batch = paper_batch()
    for compile in (False, True):
        torch.manual_seed(0)
        module = small_module(compile=compile)
        trainer = fit(module, batch, [StepTimer(warmup=1, steps=2)])
        losses.append(float(trainer.callback_metrics["train/loss"]))
        names.append(list(module.state_dict()))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert names[0] == names[1]
    assert set(compiled_sizes) == {8}, "two clips of four images, compiled"
    images = torch.randint(0, 256, (3, 3, 40, 40), dtype=torch.uint8)
    embeddings = module.encoder.embed(images)
    assert set(compiled_sizes) == {8}, "what is not training is not compiled"
    loaded = load_encoder(save_encoder(module.encoder, tmp_path))
    torch.testing.assert_close(loaded.embed(images), embeddings, rtol=0, atol=0)


class _Reads(TorchDispatchMode):
    """Lists operations that would make the host wait for a GPU."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        masks = [mask for mask in args[1] if mask is not None] if _indexes(function) else []
        if function.overloadpacket in (
            torch.ops.aten._local_scalar_dense,
            torch.ops.aten.nonzero,
            torch.ops.aten.masked_select,
        ) or any(mask.dtype in (torch.bool, torch.uint8) for mask in masks):
            self.seen.append(str(function))
        return function(*args, **(kwargs or {}))


def _indexes(function):
    return function.overloadpacket in (torch.ops.aten.index, torch.ops.aten.index_put)


def dense_batch(clips=2, pairs=3):
    frames = torch.randint(0, 256, (clips, pairs, 2, 3, 32, 32), dtype=torch.uint8)
    times = torch.stack([torch.arange(pairs), torch.arange(pairs) + 1], dim=-1)
    return Batch(frames, times.repeat(clips, 1, 1), [])


@pytest.mark.parametrize("batch", [paper_batch(), dense_batch()], ids=["paper", "dense"])
@pytest.mark.parametrize(
    "objective", [VIP(), VIP(negatives="joint"), LSTD(), TCN()], ids=["vip", "joint", "lstd", "tcn"]
)
def test_nothing_is_read_from_the_device_between_logs(batch, objective):
    """An `.item()`, a `float()` or a boolean index would be a wait at every step."""
    reads = _Reads()
    module = small_module(objective=objective)
    with reads:
        trainer = fit(module, batch, [StepTimer(warmup=1, steps=3)], log_every_n_steps=1000)
    assert reads.seen == []
    assert torch.isfinite(trainer.callback_metrics["train/loss"])


def test_the_reads_would_be_seen():
    with _Reads() as reads:
        values = torch.arange(3.0)
        values[values > 1].sum().item()
    assert len(reads.seen) == 2


@pytest.mark.parametrize("negatives", ["separate", "joint"])
def test_dense_terms_run_over_the_later_frames_only(negatives):
    """Against picking them out, in float64."""
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(2, 3, 2, 5, dtype=torch.float64, generator=generator)
    times = torch.tensor([[[0, 1], [1, 2], [4, 5]], [[2, 3], [2, 3], [7, 8]]])
    permutations = torch.tensor([[1, 0]])
    terms = dense_terms(embeddings, times, permutations=permutations, negatives=negatives)
    start, positive, negative = [], [], []
    for clip in range(2):
        for pair in range(3):
            for other in range(6):
                goal = embeddings[clip].flatten(0, 1)[other]
                for source, residuals in ((clip, positive), (1 - clip, negative)):
                    current, following = embeddings[source, pair]
                    to_current = (current - goal).norm()
                    residual = 1 + 0.98 * (following - goal).norm() - to_current
                    if source != clip:
                        residuals.append(residual)
                    elif times[clip].flatten()[other] > times[clip, pair, 0]:
                        residuals.append(residual)
                        start.append(to_current)
    groups = [positive + negative] if negatives == "joint" else [positive, negative]
    repulsion = sum(torch.stack(group).exp().mean().log() for group in groups)
    attraction = 0.02 * torch.stack(start).mean()
    torch.testing.assert_close(terms.attraction, attraction, rtol=1e-10, atol=0)
    torch.testing.assert_close(terms.repulsion, repulsion, rtol=1e-7, atol=0)  # epsilon


@pytest.fixture
def manifest(tmp_path):
    from tests.fixtures import media
    from vipl.cli import main

    media.write_video(tmp_path / "v" / "a.mp4", media.moving_square(20, 48, 64))
    out = tmp_path / "m.parquet"
    assert main(["manifest", "build", "folder", str(tmp_path / "v"), "--out", str(out)]) == 0
    return out


def build(manifest, **sections):
    encoder = {"backbone": "mobilenetv3_small_050", "output_dim": 8, "image_size": 32}
    config = {
        "data": {"manifest": str(manifest), "batch_size": 2, "image_size": 32},
        "model": {"encoder": encoder},
        **sections,
        "trainer": {"accelerator": "cpu", "max_steps": 1, **sections.get("trainer", {})},
    }
    cli = FitCLI(config)
    cli.build()
    return cli


def test_the_defaults_are_the_fast_ones(manifest, tmp_path):
    before = torch.backends.cudnn.benchmark
    try:
        cli = build(manifest, run_dir=str(tmp_path / "run"))
        assert torch.backends.cudnn.benchmark
        optimizer = cli.model.optimizer(cli.model.encoder.parameters())
        assert optimizer.param_groups[0]["fused"]
        assert not cli.model.compile_network
        build(manifest, run_dir=str(tmp_path / "run"), trainer={"deterministic": True})
        assert not torch.backends.cudnn.benchmark
    finally:
        torch.backends.cudnn.benchmark = before
        torch.use_deterministic_algorithms(False)


def test_several_processes_keep_their_gradients_once(manifest, tmp_path):
    two = {"devices": 2, "strategy": "ddp"}
    strategy = build(manifest, run_dir=str(tmp_path / "run"), trainer=two).trainer.strategy
    assert strategy._ddp_kwargs["gradient_as_bucket_view"] is True
    own = {"class_path": "DDPStrategy", "init_args": {"gradient_as_bucket_view": False}}
    two["strategy"] = own
    strategy = build(manifest, run_dir=str(tmp_path / "run"), trainer=two).trainer.strategy
    assert strategy._ddp_kwargs["gradient_as_bucket_view"] is False


def test_the_number_of_threads_is_a_setting(manifest, tmp_path):
    before = torch.get_num_threads()
    try:
        build(manifest, run_dir=str(tmp_path / "run"), threads=1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    with pytest.raises(UserError, match="threads is 0, expected 1 or more"):
        build(manifest, run_dir=str(tmp_path / "run"), threads=0)


@pytest.mark.gpu
def test_the_host_never_waits_for_the_gpu():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    for batch in (paper_batch(), dense_batch()):
        counter = SyncCounter(warmup=2, steps=3)
        pinned = batch._replace(frames=batch.frames.pin_memory(), times=batch.times.pin_memory())
        fit(small_module(), pinned, [counter], accelerator="gpu", log_every_n_steps=1000)
        assert counter.result() == ()
