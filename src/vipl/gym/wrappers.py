"""Visual rewards for Gymnasium environments, one or many at a time.

Shapes: N environments, H x W pixels, G goals.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, get_args

import gymnasium
import numpy as np
import torch
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from numpy.typing import NDArray
from torch import Tensor

from vipl.errors import UserError
from vipl.gym.rendering import FreshRender, up_to_date
from vipl.models.encoder import Distance, Encoder
from vipl.names import choose
from vipl.rewards.goal import Combine, GoalReward, Mode, as_images, as_pictures, step_reward

__all__ = ["FreshRender", "VectorVisualReward", "VisualReward"]

Images: TypeAlias = NDArray[np.uint8]


class VisualReward(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Puts the reward of an encoder and a goal image in the place of an environment's own.

    MuJoCo environments are drawn as `FreshRender` says: in the state after the step.

    Observations stay as they are. Info, after `reset` too, has `value`, V(o; g) of the image now;
    after a step also `task_reward`, the environment's own.

    Args:
        env: Whose `render` gives pictures ("rgb_array"), or whose observations hold them.
        encoder: Any encoder.
        goal: uint8 [H, W, 3] or [G, H, W, 3], as pictures are in Gymnasium; None to pass one to
            every `reset(options={"goal": picture})`, which goes before this one for an episode.
        image_key: Of the pictures in observations that are dicts, uint8 [H, W, 3]; "" where the
            observation is the picture; None to call `render`.
        mode: As for `GoalReward.reward`.
        distance: As for `GoalReward`.
        combine: As for `GoalReward`.

    Raises:
        UserError: If the environment gives no such pictures, or the goal is none.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        encoder: Encoder,
        goal: Images | None = None,
        *,
        image_key: str | None = None,
        mode: Mode = "difference",
        distance: Distance | None = None,
        combine: Combine = "mean",
    ) -> None:
        RecordConstructorArgs.__init__(
            self,
            _disable_deepcopy=True,  # of the encoder
            encoder=encoder,
            goal=goal,
            image_key=image_key,
            mode=mode,
            distance=distance,
            combine=combine,
        )
        gymnasium.Wrapper.__init__(self, env)
        self._image_key = image_key
        check_pictures(env.observation_space, env.render_mode, image_key)
        self._goals = _Goals(encoder, distance, combine)
        self._default = None if goal is None else self._goals(goal)
        self._reward = self._default
        choose("mode", [mode], get_args(Mode))
        self._mode: Mode = mode
        self._values = _Values(1)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; `options["goal"]`, a picture, is its goal.

        Raises:
            UserError: If there is no goal.
        """
        goal, options = take_goal(options)
        observation, info = self.env.reset(seed=seed, options=options)
        self._reward = self._default if goal is None else self._goals(goal)
        self._values.begin(self._value(observation))
        return observation, {**info, "value": self._values.now[0].item()}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Act; the reward is that of the picture before and the one after."""
        observation, task_reward, terminated, truncated, info = self.env.step(action)
        reward = self._values.step(self._value(observation), self._mode)
        more = {"task_reward": float(task_reward), "value": self._values.now[0].item()}
        return observation, reward[0].item(), terminated, truncated, {**info, **more}

    def _value(self, observation: Any) -> Tensor:
        if self._image_key is None:
            with up_to_date([self.env]):
                picture: Any = self.env.render()
        else:
            picture = observation[self._image_key] if self._image_key else observation
        return _valued(self._reward, as_pictures(picture)[None])


class VectorVisualReward(VectorWrapper):
    """`VisualReward` of many environments: one batch goes through the encoder at every step.

    MuJoCo environments in other processes are drawn a step of the physics behind, unless
    `FreshRender` wraps each.

    Info has `value` and `task_reward`, float [N].

    Args:
        env: Whose `render` gives a picture of each environment, or whose observations hold them.
            Where environments begin anew within a step (`AutoresetMode.SAME_STEP`), pictures must
            be observations: those that end an episode are not to be rendered any more.
        encoder: As for `VisualReward`.
        goal: As for `VisualReward`; one for all environments.
        image_key: As for `VisualReward`.
        mode: As for `VisualReward`.
        distance: As for `VisualReward`.
        combine: As for `VisualReward`.

    Raises:
        UserError: As `VisualReward`.
    """

    def __init__(
        self,
        env: VectorEnv[Any, Any, Any],
        encoder: Encoder,
        goal: Images | None = None,
        *,
        image_key: str | None = None,
        mode: Mode = "difference",
        distance: Distance | None = None,
        combine: Combine = "mean",
    ) -> None:
        super().__init__(env)
        self._image_key = image_key
        self._autoreset = env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
        check_pictures(env.single_observation_space, env.render_mode, image_key)
        if self._autoreset == AutoresetMode.SAME_STEP and image_key is None:
            raise UserError(
                "environments that begin anew within a step show no picture of an episode's end: "
                "name an image_key of their observations, or make them with "
                "vector_kwargs={'autoreset_mode': AutoresetMode.NEXT_STEP}"
            )
        self._goals = _Goals(encoder, distance, combine)
        self._default = None if goal is None else self._goals(goal)
        self._reward = self._default
        choose("mode", [mode], get_args(Mode))
        self._mode: Mode = mode
        self._values = _Values(env.num_envs)
        self._ended = torch.zeros(env.num_envs, dtype=torch.bool)

    def reset(
        self,
        *,
        seed: int | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Begin episodes; `options["goal"]`, a picture, is the goal of all from now on."""
        goal, options = take_goal(options)
        mask = (options or {}).get("reset_mask")
        observations, infos = self.env.reset(seed=seed, options=options)
        if goal is not None or mask is None:
            self._reward = self._default if goal is None else self._goals(goal)
        begun = torch.ones(self.num_envs, dtype=torch.bool) if mask is None else torch.tensor(mask)
        self._values.begin(self._value(observations), begun)
        self._ended &= ~begun
        return observations, {**infos, "value": self._values.now.numpy().copy()}

    def step(
        self, actions: Any
    ) -> tuple[Any, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Act in all environments; one that begins anew in this step has the reward 0."""
        observations, task_rewards, terminated, truncated, infos = self.env.step(actions)
        ended = torch.from_numpy(np.asarray(terminated | truncated))
        value = self._value(observations)
        if self._autoreset == AutoresetMode.SAME_STEP and ended.any():
            last = [self._last(infos, index) for index in ended.nonzero().flatten().tolist()]
            final = value.clone()
            final[ended] = _valued(self._reward, np.stack(last))
            reward = self._values.step(final, self._mode)
            self._values.begin(value, ended)
        else:
            reward = self._values.step(value, self._mode)
            if self._autoreset == AutoresetMode.NEXT_STEP:
                reward[self._ended] = 0
                self._values.begin(value, self._ended)
        self._ended = ended
        more = {
            "task_reward": np.asarray(task_rewards, dtype=np.float64),
            "value": self._values.now.numpy().copy(),
        }
        return observations, reward.double().numpy(), terminated, truncated, {**infos, **more}

    def _value(self, observations: Any) -> Tensor:
        if self._image_key is None:
            with up_to_date(getattr(self.env.unwrapped, "envs", ())):
                pictures: Any = self.env.render()
        else:
            pictures = observations[self._image_key] if self._image_key else observations
        return _valued(self._reward, as_pictures(pictures))

    def _last(self, infos: dict[str, Any], index: int) -> Images:
        observation = infos["final_obs"][index]
        picture: Images = observation[self._image_key] if self._image_key else observation
        return picture


class _Values:
    """The values of the images before, and of the first of each episode."""

    def __init__(self, number: int) -> None:
        self.now = torch.zeros(number)
        self._first = torch.zeros(number)

    def begin(self, values: Tensor, begun: Tensor | None = None) -> None:
        """Take note of first images, of all environments or of some."""
        chosen = torch.ones(len(values), dtype=torch.bool) if begun is None else begun
        self.now = torch.where(chosen, values, self.now)
        self._first = torch.where(chosen, values, self._first)

    def step(self, values: Tensor, mode: Mode) -> Tensor:
        """Take note of the images after a step; return its rewards, float32 [N]."""
        reward = step_reward(self.now, values, self._first, mode=mode)
        self.now = values
        return reward.clone()


class _Goals:
    """Makes the reward of a goal picture."""

    def __init__(self, encoder: Encoder, distance: Distance | None, combine: Combine) -> None:
        self._make: Callable[[Tensor], GoalReward] = lambda images: GoalReward(
            encoder, images, distance=distance, combine=combine
        )

    def __call__(self, goal: Images) -> GoalReward:
        picture = as_pictures(goal)
        if picture.ndim not in (3, 4) or picture.shape[-1] != 3 or not picture.size:
            raise UserError(
                f"the goal is {picture.dtype} {list(picture.shape)}, expected a picture, uint8 "
                "[H, W, 3], or several"
            )
        return self._make(as_images(picture))


def _valued(reward: GoalReward | None, pictures: NDArray[Any]) -> Tensor:
    if reward is None:
        raise UserError(
            'there is no goal: pass one as `goal`, or to reset(options={"goal": picture})'
        )
    return reward.value(as_images(pictures)).float().cpu()


def take_goal(options: dict[str, Any] | None) -> tuple[Images | None, dict[str, Any] | None]:
    """Return the goal in the options of a reset, and the options without it."""
    if not options or "goal" not in options:
        return None, options
    rest = {name: value for name, value in options.items() if name != "goal"}
    return options["goal"], rest or None


def check_pictures(
    space: gymnasium.Space[Any], render_mode: str | Sequence[str] | None, image_key: str | None
) -> None:
    """Refuse an environment without the pictures that are asked for.

    Raises:
        UserError: With the remedy.
    """
    if image_key is None:
        if render_mode != "rgb_array":
            raise UserError(
                f"the environment's render_mode is {render_mode!r}: make it with "
                'render_mode="rgb_array", or name the image_key of pictures in its observations'
            )
        return
    if image_key:
        if not isinstance(space, gymnasium.spaces.Dict) or image_key not in space.spaces:
            keys = list(space.spaces) if isinstance(space, gymnasium.spaces.Dict) else "no dict"
            raise UserError(f"observations hold no {image_key!r}, but {keys}")
        space = space.spaces[image_key]
    if space.dtype != np.uint8 or len(space.shape or ()) != 3 or (space.shape or (0,))[-1] != 3:
        raise UserError(
            f"observations are {space.dtype} {list(space.shape or ())}, expected pictures, uint8 "
            "[H, W, 3]"
        )
