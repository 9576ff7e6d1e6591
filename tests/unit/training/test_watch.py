"""Numbers that are not finite: found, named by their batch, and never kept."""

import math
from types import SimpleNamespace

import pytest
import torch

from vipl import load_encoder, save_encoder
from vipl.data.loading.samples import Batch
from vipl.errors import UserError
from vipl.models.encoder import Encoder
from vipl.models.finite import all_finite, check_embeddings, find_non_finite
from vipl.processes.ranks import Ranks
from vipl.training.module import VIPModule
from vipl.training.watch import FILE, StopNotFinite

NOTHING = torch.empty(0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_every_number_is_looked_at(dtype, value):
    tensors = [torch.ones(3, 5, dtype=dtype), torch.tensor([7]), torch.empty(0), torch.ones(())]
    assert all_finite(tensors)
    for place in (0, 7, 14):
        wrong = tensors[0].clone()
        wrong.view(-1)[place] = value
        assert not all_finite([*tensors, wrong])
        found = find_non_finite({"state": {3: [tensors[0], {"exp_avg": wrong}]}, "step": 1})
        assert found == "state.3.1.exp_avg"
    assert all_finite([torch.full((2,), torch.finfo(dtype).max, dtype=dtype)])
    assert all_finite([])


def test_embeddings_are_counted():
    embeddings = torch.ones(4, 3)
    check_embeddings(embeddings, "it")
    embeddings[1, 2], embeddings[3, 0] = math.inf, math.nan
    with pytest.raises(UserError, match="it embeds 2 of 4 images as numbers that are not finite"):
        check_embeddings(embeddings, "it")


@pytest.fixture(scope="module")
def broken():
    encoder = Encoder("test_resnet", output_dim=4, image_size=32)
    encoder.network.fc.bias.data[1] = math.nan
    return encoder


def test_an_encoder_that_is_not_finite_is_neither_written_nor_read_nor_used(
    broken, tmp_path, monkeypatch
):
    with pytest.raises(UserError, match=r"not finite \(network.fc.bias\)"):
        save_encoder(broken, tmp_path / "e")
    assert not (tmp_path / "e").exists()
    with pytest.raises(UserError, match="test_resnet embeds 2 of 2 images as numbers that are not"):
        broken.embed(torch.zeros(2, 3, 40, 40, dtype=torch.uint8))
    with monkeypatch.context() as patch:  # as an older version wrote it
        patch.setattr("vipl.models.checkpoint.check_weights", lambda *unused: None)
        save_encoder(broken, tmp_path / "e")
    with pytest.raises(UserError, match=r"e holds weights that are not finite \(network.fc.bias\)"):
        load_encoder(tmp_path / "e")


class Steps:
    """Takes a callback through the batches of a run that does not compute anything."""

    def __init__(self, run_dir, ranks=None):
        self.module = VIPModule(Encoder("test_resnet", output_dim=4, image_size=32))
        self.module.ranks = ranks or Ranks()
        self.callback = StopNotFinite(run_dir)
        self.optimizer = torch.optim.SGD(self.module.parameters(), momentum=0.9)
        self.trainer = SimpleNamespace(
            global_step=0, optimizers=[self.optimizer], precision_plugin=SimpleNamespace()
        )

    def begin(self, *clips):
        batch = Batch(NOTHING, NOTHING, [], clip_ids=clips)
        self.callback.on_train_batch_start(self.trainer, self.module, batch, 0)

    def end(self, loss=1.0, *, stepped=True):
        self.trainer.global_step += stepped
        outputs = {"loss": torch.tensor(loss)}
        batch = Batch(torch.zeros(2, 4, 3, 32, 32, dtype=torch.uint8), NOTHING, [])
        self.callback.on_train_batch_end(self.trainer, self.module, outputs, batch, 0)

    def finish(self):
        self.callback.on_train_end(self.trainer, self.module)


@pytest.mark.parametrize(("loss", "word"), [(math.nan, "nan"), (-math.inf, "infinite")])
def test_a_loss_is_named_by_its_step_and_clips(tmp_path, loss, word):
    steps = Steps(tmp_path)
    for number in range(3):
        steps.begin(f"a{number}", f"b{number}")
        steps.end()
    steps.begin("a3", "b3")
    steps.end(loss)
    with pytest.raises(UserError, match=f"the loss is {word} at step 4, whose clips are a3, b3: "):
        steps.begin("a4", "b4")
    assert (tmp_path / FILE).read_text().split() == ["step,clip_id", "4,a3", "4,b3"]


def test_many_clips_are_listed_in_the_file(tmp_path):
    steps = Steps(tmp_path)
    steps.begin(*(f"c{number}" for number in range(20)))
    steps.end(math.nan)
    with pytest.raises(UserError, match=f"c15 and 4 more, listed in {tmp_path / FILE}: "):
        steps.finish()
    assert (tmp_path / FILE).read_text().count("\n") == 21


def test_a_flag_that_arrives_late_still_names_its_batch(tmp_path, monkeypatch):
    arrived = []
    event = SimpleNamespace(query=lambda: bool(arrived), synchronize=lambda: arrived.append(1))
    steps = Steps(tmp_path)
    steps.begin("first")
    steps.end()
    monkeypatch.setattr("vipl.training.watch._send", late(event))
    for clip, loss in (("second", math.nan), ("third", math.nan), ("fourth", math.nan)):
        steps.begin(clip)
        steps.end(loss)
    with pytest.raises(UserError, match="nan at step 2, whose clips are second:"):
        steps.callback.on_validation_start(steps.trainer, steps.module)


def late(event):
    from vipl.training.watch import _Reading

    return lambda batch, flags: _Reading(batch, flags, event)


def test_weights_buffers_and_the_optimisers_state(tmp_path):
    for place, word in (
        (lambda s: s.module.encoder.network.fc.weight.data, "weights are"),
        (lambda s: next(b for n, b in s.module.named_buffers() if "running_var" in n), "weights"),
        (lambda s: next(iter(s.optimizer.state.values()))["momentum_buffer"], "optimiser's state"),
    ):
        steps = Steps(tmp_path)
        steps.begin("half")
        steps.end(stepped=False)
        for parameter in steps.module.parameters():
            parameter.grad = torch.zeros_like(parameter)
        steps.optimizer.step()
        place(steps)[(0,) * place(steps).ndim] = math.inf
        steps.begin("other half")
        steps.end()
        # What an optimiser does, it does to all batches of a step.
        with pytest.raises(
            UserError, match=f"{word}.* at step 1, whose clips are half, other half"
        ):
            steps.finish()


def test_steps_that_float16_skips_are_no_fault_until_all_are(tmp_path):
    steps = Steps(tmp_path)
    scaler = torch.amp.GradScaler("cpu")
    steps.trainer.precision_plugin.scaler = scaler
    for number in range(60):
        steps.begin(f"c{number}")
        scaler.scale(torch.ones((), requires_grad=True))
        for parameter in steps.module.parameters():
            parameter.grad = torch.full_like(parameter, math.inf)
        scaler.step(steps.optimizer)
        scaler.update()
        if scaler.get_scale() < 2.0**-24:
            break
        steps.end()
    assert number == 40
    steps.end()
    with pytest.raises(UserError, match=r"gradients are not finite .* at step 41, whose .* c40:"):
        steps.finish()


def test_nothing_that_is_not_finite_is_saved(tmp_path):
    module = VIPModule(Encoder("test_resnet", output_dim=4, image_size=32))
    good = {"state_dict": module.state_dict(), "optimizer_states": [], "global_step": 3}
    module.on_save_checkpoint({**good, "callbacks": {"best": torch.tensor(math.inf)}})
    state = {"state": {0: {"exp_avg_sq": torch.tensor([math.inf])}}}
    with pytest.raises(UserError, match=r"optimizer_states.0.state.0.exp_avg_sq is not .* step 3,"):
        module.on_save_checkpoint({**good, "optimizer_states": [state]})


def one_of_two(run_dir):
    """Run batches; the running averages of the second process alone go wrong at the second."""
    steps = Steps(run_dir, Ranks())
    rank = steps.module.ranks.rank
    try:
        for number in range(4):
            steps.begin(f"clip {number} of {rank}")
            if (number, rank) == (1, 1):
                next(b for n, b in steps.module.named_buffers() if "running_var" in n)[0] = math.nan
            steps.end()
        steps.finish()
    except UserError as error:
        return number, str(error)


def save_one_of_two():
    content = {"state_dict": {"w": torch.ones(2)}, "global_step": 1}
    module = VIPModule(Encoder("test_resnet", output_dim=4, image_size=32))
    module.ranks = Ranks()
    content["state_dict"]["w"][0] = math.nan if module.ranks.rank else 1
    try:
        module.on_save_checkpoint(content)
    except UserError as error:
        return str(error)


def test_all_processes_stop_together(pool, tmp_path):
    first, second = pool.run(2, one_of_two, tmp_path)
    assert first == second
    assert first[0] == 2
    assert "step 2, whose clips are clip 1 of 0, clip 1 of 1: " in first[1]
    first, second = pool.run(2, save_one_of_two)
    assert first == second
    assert first.startswith("state_dict.w is not finite after step 1")
