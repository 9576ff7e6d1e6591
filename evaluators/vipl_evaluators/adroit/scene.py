"""gymnasium-robotics' models of the Adroit hand, with the cameras of the imitation study."""

from pathlib import Path

import mujoco

from vipl_evaluators.packages import package_folder

INSTALL = "pip install gymnasium-robotics"

CAMERAS = ("vil_camera", "view_1", "view_4")

# The pen's model has them all; the other's has the first only. Positions in metres, angles in
# radians, as the pen's model gives them.
_VIEWS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "view_1": ((-0.8, -0.8, 0.8), (0.785, -0.785, -0.785)),
    "view_4": ((0.8, -0.8, 0.8), (0.785, 0.785, 0.785)),
}

TARGET = "target"
"""The mocap body that shows where the pen or the ball is to go."""


def model_path(task: str) -> Path:
    """Return the package's model of a task, found without importing the package.

    Raises:
        UserError: If the package is not installed.
    """
    package = package_folder("gymnasium_robotics", install=INSTALL)
    return package / "envs" / "assets" / "adroit_hand" / f"adroit_{task}.xml"


def scene_spec(task: str) -> mujoco.MjSpec:
    """Return a task's model with its cameras, to be compiled.

    The package puts the target in different places by changing its model. Here it is a mocap body,
    so that the state holds where it is.
    """
    spec = mujoco.MjSpec.from_file(str(model_path(task)))
    for name, (position, angles) in _VIEWS.items():
        if spec.camera(name) is None:
            camera = spec.worldbody.add_camera(name=name, pos=position)
            camera.alt.type = mujoco.mjtOrientation.mjORIENTATION_EULER
            camera.alt.euler = angles
    if task == "pen":
        spec.body(TARGET).mocap = True
    else:
        _make_target(spec)
    return spec


def _make_target(spec: mujoco.MjSpec) -> None:
    """Put the mark of where the ball is to go on a body of its own."""
    mark = spec.site(TARGET)
    place, shown = mark.pos.copy(), mark.rgba.copy()
    mark.name, mark.rgba[3] = "untied", 0
    body = spec.worldbody.add_body(name=TARGET, pos=place, mocap=True)
    body.add_site(name=TARGET, size=mark.size, rgba=shown)
