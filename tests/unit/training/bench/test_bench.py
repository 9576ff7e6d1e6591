"""What is measured of steps and kernels, and the sentence that is made of it."""

import subprocess
import sys

import pytest
import pytorch_lightning as pl
import torch

from vipl.data.loading.samples import Batch
from vipl.models import Encoder
from vipl.training.bench.data import DataTimes
from vipl.training.bench.kernels import ELEMENTWISE, IDLE, kind_of, summarise
from vipl.training.bench.step_timer import PARTS, Repeated, StepTimer, StepTimes
from vipl.training.bench.verdict import verdict
from vipl.training.module import VIPModule


def fit(module, batch, callbacks, **settings):
    settings = {"accelerator": "cpu", **settings}
    trainer = pl.Trainer(
        max_epochs=-1,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        **settings,
    )
    trainer.fit(module, Repeated(batch))
    return trainer


def small_module(**settings):
    encoder = Encoder("mobilenetv3_small_050", output_dim=8, image_size=32)
    return VIPModule(encoder, **settings)


def paper_batch(clips=2):
    frames = torch.randint(0, 256, (clips, 4, 3, 32, 32), dtype=torch.uint8)
    return Batch(frames, torch.arange(4).repeat(clips, 1), [])


def test_the_timer_ends_training_and_its_parts_add_up():
    module, timer = small_module(), StepTimer(warmup=1, steps=3)
    trainer = fit(module, paper_batch(), [timer])
    assert trainer.global_step == 4
    times = timer.result()
    assert tuple(times.parts_s) == PARTS
    assert sum(times.parts_s.values()) == pytest.approx(times.step_s)
    assert all(times.parts_s[part] > 0 for part in ("forward", "loss", "backward", "optimiser"))
    assert times.parts_s["loss"] < times.parts_s["forward"]
    assert (times.clips, times.images, times.peak_bytes) == (2, 8, None)
    assert times.cpu_s > 0
    assert not module.encoder._forward_hooks, "the encoder is left as it was"


def test_the_timer_counts_batches_where_gradients_are_accumulated():
    timer = StepTimer(warmup=1, steps=3)
    assert fit(small_module(), paper_batch(), [timer], accumulate_grad_batches=2).global_step == 2
    assert timer.result().step_s > 0


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sm90_xmma_fprop_implicit_gemm_bf16bf16_bf16f32_f32_nhwckrsc", "convolution"),
        ("void cutlass__5x_cudnn::Kernel<cutlass_tensorop_bf16_s16816wgrad>", "convolution"),
        ("nvjet_tst_128x256_64x4_1x2_h_bz_coopA_TNN", "convolution"),
        ("void cudnn::bn_bw_1C11_kernel_new<float>", "batch norm"),
        ("triton_red_fused__native_batch_norm_legit_functional_relu_12", "batch norm"),
        ("void at::native::(anonymous namespace)::multi_tensor_apply_kernel<FusedAdam>", "optim"),
        ("Memcpy HtoD (Pinned -> Device)", "copies"),
        ("void at::native::vectorized_elementwise_kernel<4, threshold>", ELEMENTWISE),
        ("triton_poi_fused_add_relu_threshold_backward_3", ELEMENTWISE),
    ],
)
def test_kernels_are_told_apart_by_name(name, kind):
    assert kind_of(name).startswith(kind)


def test_a_profile_adds_up_to_its_span():
    kernels = [("gemm", 0.0, 60.0), ("gemm", 100.0, 140.0), ("relu_kernel", 150.0, 200.0)]
    found = summarise(kernels, steps=2)
    assert found.step_s == pytest.approx(100e-6)
    assert found.kinds_s == pytest.approx(
        {"convolution and matrix product": 50e-6, ELEMENTWISE: 25e-6, IDLE: 25e-6}
    )
    assert found.kernels_s == pytest.approx({"gemm": 50e-6, "relu_kernel": 25e-6})
    assert found.launches == 1.5


def times(*, step_s=0.1, clips_per_s=100.0, together_s=0.2):
    parts = {"forward": 0.2, "loss": 0.1, "backward": 0.5, "optimiser": 0.1, "between": 0.1}
    parts = {part: share * step_s for part, share in parts.items()}
    step = StepTimes(step_s, step_s, parts, None, clips=4, images=16)
    data = DataTimes(
        clips_per_s, 4 * clips_per_s, 2, 0.02, {"decode": 0.015, "resample": 0.005}, failures=0
    )
    return step, data, step._replace(step_s=together_s)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"clips_per_s": 10.0, "together_s": 0.5},
            "Data are the bottleneck: they bring 10.0 clips/s and the step could take 40.0; "
            "together they reach 8.0. Most of a loader's time goes to decode (75%).",
        ),
        (
            {"clips_per_s": 100.0, "together_s": 0.1},
            "The step is the bottleneck: it takes 40.0 clips/s and data could bring 100.0; "
            "together they reach 40.0. Most of a step goes to backward (50%).",
        ),
        (
            {"clips_per_s": 41.0, "together_s": 0.125},
            "Neither starves the other: data bring 41.0 clips/s and the step takes 40.0; together "
            "they reach 32.0.",
        ),
    ],
)
def test_one_sentence_names_the_bottleneck(settings, sentence):
    assert verdict(*times(**settings)) == sentence


def test_freed_memory_is_kept_for_the_next_step_and_not_where_data_are_loaded():
    """Page faults of a process that allocates the same 64 MB again and again."""
    script = (
        "import resource, sys, torch\n"
        "from vipl.processes.allocator import bound_freed_memory, keep_freed_memory\n"
        "if sys.argv[1] != 'return': print(keep_freed_memory())\n"
        "else: print(sys.platform.startswith('linux'))\n"
        "if sys.argv[1] == 'bound': bound_freed_memory()\n"
        "for _ in range(20): torch.ones(2**24)\n"  # the heap finds its size
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(10): torch.ones(2**24)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)\n"
    )
    faults = {}
    for how in ("keep", "return", "bound"):
        done = subprocess.run(
            [sys.executable, "-c", script, how], capture_output=True, text=True, check=True
        )
        kept, count = done.stdout.split()
        if kept == "False":
            pytest.skip("this C library has no such setting")
        faults[how] = int(count)
    assert faults["return"] > 1000
    assert faults["keep"] < faults["return"] / 10
    assert faults["bound"] > faults["return"] / 2, "loading processes take it back"
