"""Optimisers of an encoder's parameters, by groups, tried before a run begins."""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from vipl.errors import UserError
from vipl.models.encoder import Encoder

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")


@dataclass
class ParameterGroups:
    """How the optimiser treats some parameters otherwise than others.

    Attributes:
        backbone_rate: What the learning rate of all but the linear head is multiplied by: less
            than 1 to fine-tune a network that was trained before under a head that was not; 0
            leaves it as it is.
        decay_norms_and_biases: Whether weight decay reaches vectors too: the scales and shifts of
            normalisation, biases, class tokens and what else a network exempts.
    """

    backbone_rate: float = 1.0
    decay_norms_and_biases: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.backbone_rate < float("inf"):
            raise UserError(f"backbone_rate is {self.backbone_rate}, expected 0 or more")


def make_optimizer(
    encoder: Encoder, make: OptimizerCallable, groups: ParameterGroups | None
) -> Optimizer:
    """Make the optimiser of an encoder's parameters.

    Args:
        encoder: Whose parameters are trained.
        make: Makes an optimiser of parameters, or of groups of them.
        groups: None: one group of all parameters, in the encoder's order.

    Raises:
        UserError: If the groups need a head and the encoder has none.
    """
    if groups is None:
        return make(encoder.parameters())
    parts = _parts(encoder, groups)
    optimizer = make([settings for settings, _ in parts])
    for group, (_, rate) in zip(optimizer.param_groups, parts, strict=True):
        group["lr"] *= rate
    return optimizer


def check_optimizer(
    encoder: Encoder,
    make: OptimizerCallable,
    groups: ParameterGroups | None,
    make_schedule: LRSchedulerCallable | None,
    *,
    steps: int,
) -> bool:
    """Try an optimiser and its schedule on parameters of no account, before a run is begun.

    Args:
        encoder: To be trained.
        make: Makes the optimiser.
        groups: Of parameters.
        make_schedule: Makes the schedule, if there is one.
        steps: Of the run; -1 where it has no end.

    Returns:
        Whether the schedule watches a figure, so that it needs validations.

    Raises:
        UserError: If the optimiser does not take the encoder's parameters or dense gradients, asks
            for the loss several times a step, or the schedule does not take the optimiser.
    """
    _tried("model.optimizer", lambda: make_optimizer(encoder, make, groups))
    probe = nn.Parameter(torch.zeros(2, 2))
    probe.grad = torch.zeros(2, 2)
    optimizer = _tried("model.optimizer", lambda: make([probe]))
    schedule = None
    if make_schedule is not None:
        schedule = _tried("model.lr_scheduler", lambda: make_schedule(optimizer))
    total = getattr(schedule, "total_steps", None)
    if isinstance(total, int) and steps > total:
        raise UserError(
            f"model.lr_scheduler ends after {total} steps, and the run has {steps}: "
            f"model.lr_scheduler.init_args.total_steps={steps}"
        )
    watches = isinstance(schedule, ReduceLROnPlateau)
    if watches and not hasattr(schedule, "monitor"):
        raise UserError(
            "model.lr_scheduler: ReduceLROnPlateau needs the figure that it watches: "
            "class_path=pytorch_lightning.cli.ReduceLROnPlateau, init_args.monitor=val/loss"
        )
    _tried("model.optimizer", optimizer.step)
    return watches


def renew(
    checkpoint: dict[str, Any],
    optimizer: Optimizer,
    schedule: LRScheduler | None,
    *,
    keep_state: bool,
) -> None:
    """Let a run go on with the rates and the schedule of now, in place of those that were saved.

    PyTorch takes an optimiser's rates and all numbers of a schedule from what is loaded.

    Args:
        checkpoint: Of a run, as Lightning loads it; it is changed.
        optimizer: As configured now, fresh; it is used up.
        schedule: Of that optimiser; it is brought to the checkpoint's step, unless it watches a
            figure: then it begins to watch.
        keep_state: Keep what the optimiser has gathered: it must be of the same class, for the same
            parameters in the same order.
    """
    if schedule is not None and not isinstance(schedule, ReduceLROnPlateau):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*lr_scheduler.step")  # no step of weights
            for _ in range(int(checkpoint["global_step"])):
                schedule.step()
    fresh = optimizer.state_dict()
    if keep_state:
        fresh["state"] = checkpoint["optimizer_states"][0]["state"]
    checkpoint["optimizer_states"] = [fresh]
    checkpoint["lr_schedulers"] = [] if schedule is None else [schedule.state_dict()]


def shared(make: Callable[[_Given], _Made]) -> Callable[[_Given], _Made]:
    """Return a plain function that does the same, which copies of the module share.

    What jsonargparse gives refers to its parser, and through it to the trainer and all that it has:
    a callback that copies the module, as for an average of the weights, would copy them as well.
    """
    return lambda given: make(given)


def _tried(key: str, action: Callable[[], Any]) -> Any:
    """Do something of somebody else's, and say in one sentence what it refuses."""
    try:
        return action()
    except UserError:
        raise
    except Exception as error:  # each class has its own way to refuse
        reason = " ".join(str(error).split()) or type(error).__name__
        hint = ""
        if "closure" in reason:
            hint = ": it asks for the loss several times a step, and a step has one batch"
        raise UserError(f"{key} cannot train this encoder ({reason}){hint}") from error


def _parts(encoder: Encoder, groups: ParameterGroups) -> list[tuple[dict[str, Any], float]]:
    """Return groups of parameters for an optimiser, each with its factor of the rate."""
    head = {id(parameter) for part in _heads(encoder) for parameter in part.parameters()}
    if groups.backbone_rate != 1 and not head:
        raise UserError(
            "model.parameter_groups.backbone_rate needs a head beside the backbone, and "
            "model.encoder.output_dim=0 leaves none"
        )
    exempt = set() if groups.decay_norms_and_biases else _exempt(encoder)
    parts: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in encoder.parameters():
        key = (id(parameter) in head, id(parameter) in exempt)
        parts.setdefault(key, []).append(parameter)
    return [
        (
            {"params": parameters, **({"weight_decay": 0.0} if undecayed else {})},
            1.0 if of_head else groups.backbone_rate,
        )
        for (of_head, undecayed), parameters in parts.items()
    ]


def _heads(encoder: Encoder) -> tuple[nn.Module, ...]:
    """Return the head, or both of a network that was distilled by a second one."""
    head: nn.Module | tuple[nn.Module, ...] = encoder.network.get_classifier()  # type: ignore[operator]
    return head if isinstance(head, tuple) else (head,)


def _exempt(encoder: Encoder) -> set[int]:
    """Return which parameters weight decay shall not reach: vectors, and what timm names."""
    named: Iterable[str] = getattr(encoder.network, "no_weight_decay", set)()
    names = set(named)
    return {
        id(parameter)
        for name, parameter in encoder.network.named_parameters()
        if parameter.ndim <= 1 or name in names
    }
