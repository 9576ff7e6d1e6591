#!/usr/bin/env bash
# Guess: an EMAWeightAveraging that starts at a later step leaves the run alone until then: validation,
# checkpoints and the model after training have the weights that are being trained.
# Seen: they have the weights that the run began with. A run that is shorter than
# `update_starting_at_step` ends as if nothing had been trained, with no error and no warning.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pytorch-lightning==2.6.6 torch==2.13.0 numpy==2.4.6
cd "$folder"
cat > run.py <<'PY'
import logging
import warnings

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging

warnings.simplefilter("ignore")
logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)


class Line(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([10.0]))
        self.validated = []

    def training_step(self, batch, index):
        return self.weight.square().sum()

    def validation_step(self, batch, index):
        if not self.trainer.sanity_checking:
            self.validated.append(round(self.weight.item(), 3))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def train(*callbacks):
    model = Line()
    data = torch.utils.data.DataLoader(torch.zeros(8, 1), batch_size=1)
    trainer = pl.Trainer(
        max_steps=4, val_check_interval=1, logger=False, accelerator="cpu", callbacks=list(callbacks),
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )
    trainer.fit(model, data, data)
    return sorted(set(model.validated), reverse=True), round(model.weight.item(), 3)


print("pytorch-lightning", pl.__version__, "torch", torch.__version__)
plain = train()
late = train(EMAWeightAveraging(decay=0.5, update_starting_at_step=100))
print("without:              validated", plain[0], "after training", plain[1])
print("starting at step 100: validated", late[0], "after training", late[1])
assert plain == ([8.0, 6.4, 5.12, 4.096], 4.096)
assert late == ([10.0], 10.0), "the callback no longer shows the initial weights"
PY
"$folder/venv/bin/python" run.py
