"""What a training of Stable-Baselines3 needs to go on between two episodes, as plain tensors.

Its own files hold pickled objects, which are not to be read.
"""

from typing import Any

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecNormalize

_TRANSITIONS = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")
_MOMENTS = ("mean", "var", "count")


def get_state(model: BaseAlgorithm, normaliser: VecNormalize) -> dict[str, Any]:
    """Return weights, optimisers, normalisation, replayed transitions and counts."""
    return {
        "step": model.num_timesteps,
        "updates": model._n_updates,
        "parameters": model.get_parameters(),
        "variables": {name: getattr(model, name).detach() for name in _variables(model)},
        "normaliser": {
            name: {m: torch.tensor(getattr(values, m), dtype=torch.float64) for m in _MOMENTS}
            for name, values in _running(normaliser).items()
        },
        "replay": _get_replay(model),
    }


def set_state(model: BaseAlgorithm, normaliser: VecNormalize, state: dict[str, Any]) -> None:
    """Set what `get_state` returned of a training with the same settings."""
    model.num_timesteps = state["step"]
    model._n_updates = state["updates"]
    model.set_parameters(state["parameters"], exact_match=True)
    for name in _variables(model):
        getattr(model, name).data.copy_(state["variables"][name])
    for name, values in _running(normaliser).items():
        for moment in _MOMENTS:
            setattr(values, moment, state["normaliser"][name][moment].numpy())
    if isinstance(model, OffPolicyAlgorithm):
        _set_replay(model, state["replay"])


def _variables(model: BaseAlgorithm) -> list[str]:
    """Return the names of parameters that belong to no module, such as SAC's temperature."""
    return model._get_torch_save_params()[1]


def _running(normaliser: VecNormalize) -> dict[str, Any]:
    return {"observations": normaliser.obs_rms, "returns": normaliser.ret_rms}


def _get_replay(model: BaseAlgorithm) -> dict[str, Any]:
    if not isinstance(model, OffPolicyAlgorithm):
        return {}
    buffer = model.replay_buffer
    assert buffer is not None
    filled = {n: torch.from_numpy(getattr(buffer, n)[: buffer.size()]) for n in _TRANSITIONS}
    return {**filled, "position": buffer.pos, "full": buffer.full}


def _set_replay(model: OffPolicyAlgorithm, state: dict[str, Any]) -> None:
    buffer = model.replay_buffer
    assert buffer is not None
    buffer.pos, buffer.full = state["position"], state["full"]
    for name in _TRANSITIONS:
        getattr(buffer, name)[: buffer.size()] = state[name].numpy()
