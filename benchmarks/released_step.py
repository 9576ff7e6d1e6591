"""The released way to take a training step, written anew from its description.

float32 with PyTorch's defaults, NCHW, torchvision's ResNet, `torch.optim.Adam` as it comes; images
are float 0 to 255 on the device, scaled and normalised there; the negatives in a Python loop, one
random permutation each; `.item()` after every term of the loss, which makes the host wait.
"""

import time
from collections.abc import Iterable

import timm
import torch
from torch import Tensor
from torchvision.transforms import Normalize

GAMMA, EPSILON, NEGATIVES, NORM_WEIGHT = 0.98, 1e-8, 3, 0.001


class ReleasedStep:
    """A network, its optimiser, and one step after another on the same images.

    Args:
        backbone: timm's name of the network; timm's ResNet-50 is torchvision's.
        output_dim: Size of the embedding.
        device: "cpu" or "cuda".
    """

    def __init__(self, backbone: str, *, output_dim: int, device: str) -> None:
        # The released trainer sets this too.
        torch.backends.cudnn.benchmark = True
        self.device = torch.device(device)
        network = timm.create_model(backbone, pretrained=False, num_classes=output_dim)
        self.network = network.to(self.device).train()
        self.normalise = Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        self.optimizer = torch.optim.Adam(list(self.network.parameters()), lr=1e-4)
        self.metrics: dict[str, float] = {}

    def run(self, frames: Tensor, *, warmup: int, steps: int) -> tuple[float, float, int | None]:
        """Take steps on uint8 [B, 4, 3, S, S].

        Returns:
            Seconds a step, seconds of processor time a step, and peak bytes on a GPU.
        """
        images = frames.to(self.device).float()
        for _ in range(warmup):
            self.step(images)
        self.wait()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        start, cpu_start = time.perf_counter(), time.process_time()
        for _ in range(steps):
            self.step(images)
        self.wait()
        seconds = (time.perf_counter() - start) / steps
        cpu_seconds = (time.process_time() - cpu_start) / steps
        peak = torch.cuda.max_memory_allocated() if self.device.type == "cuda" else None
        return seconds, cpu_seconds, peak

    def wait(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def step(self, images: Tensor) -> None:
        """Take one step on float32 [B, 4, 3, S, S] of 0 to 255."""
        batch = len(images)
        normalised = self.normalise(images.flatten(0, 1) / 255.0)
        embeddings = self.network(normalised).reshape(batch, 4, -1)
        loss = self.norms(embeddings) + self.value_loss(*embeddings.unbind(1))
        self.metrics["loss"] = loss.item()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def norms(self, embeddings: Tensor) -> Tensor:
        """Return the weighted norms of the embeddings."""
        total = torch.zeros((), device=self.device)
        for order in (1, 2):
            norm = torch.linalg.norm(embeddings, ord=order, dim=-1).mean()
            total = total + NORM_WEIGHT * norm
            self.metrics[f"l{order}"] = norm.item()
        return total

    def value_loss(self, start: Tensor, goal: Tensor, current: Tensor, following: Tensor) -> Tensor:
        """Return both terms, the negatives in a second log-mean-exp."""
        attraction = (1 - GAMMA) * -value(start, goal).mean()
        self.metrics["attraction"] = attraction.item()
        repulsion = log_mean_exp([residual(current, following, goal)])
        self.metrics["repulsion"] = repulsion.item()
        negative = []
        for _ in range(NEGATIVES):
            order = torch.randperm(len(goal))
            negative.append(residual(current[order], following[order], goal))
        repulsion_negative = log_mean_exp(negative)
        self.metrics["repulsion_negative"] = repulsion_negative.item()
        return attraction + repulsion + repulsion_negative


def value(frame: Tensor, goal: Tensor) -> Tensor:
    return -torch.linalg.norm(frame - goal, dim=-1)


def residual(current: Tensor, following: Tensor, goal: Tensor) -> Tensor:
    reward = -torch.ones(len(goal), device=goal.device)
    return reward + GAMMA * value(following, goal) - value(current, goal)


def log_mean_exp(residuals: Iterable[Tensor]) -> Tensor:
    return torch.log(EPSILON + torch.exp(-torch.cat(list(residuals))).mean())
