"""The protocols of control suites: what each does, and which settings it does not heed."""

from collections.abc import Mapping, Sequence

from vipl.evaluation.evaluator import (
    CORRELATION,
    GAIN,
    IMITATION,
    OFFLINE_RL,
    ONLINE_RL,
    TRAJOPT,
)

PROTOCOLS: Mapping[str, str] = {
    TRAJOPT: "plan with MPPI on the embedding distance of each plan's last frame",
    OFFLINE_RL: "clone trajectories, each step weighted by exp(temperature x reward)",
    IMITATION: "clone trajectories",
    ONLINE_RL: "learn by acting, rewarded by the change of embedding distance",
    CORRELATION: "compare the distance with the true error along trajectories",
    GAIN: "weigh sampled plans by the distance, and tell what the true reward gains by that",
}

UNHEEDED: Mapping[str, Sequence[str]] = {
    TRAJOPT: ("dataset", "policy", "online"),
    OFFLINE_RL: ("planner", "online"),
    IMITATION: ("planner", "online"),
    ONLINE_RL: ("planner", "dataset", "policy"),
    CORRELATION: ("setting", "steps", "planner", "policy", "online"),
    GAIN: ("setting", "steps", "policy", "online"),
}
"""Records do not depend on these arguments of a `ControlEvaluator`."""
