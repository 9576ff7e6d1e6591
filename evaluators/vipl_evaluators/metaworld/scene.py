"""MetaWorld's models with the cameras of the visual imitation study."""

from pathlib import Path

import mujoco

from vipl.errors import UserError
from vipl_evaluators.metaworld.tasks import Task
from vipl_evaluators.packages import package_folder

INSTALL = "pip install 'vipl[metaworld]'"

CAMERAS: dict[str, tuple[float, float, float]] = {
    # The study's own copy of the models is not published with its code. These positions are in
    # another copy that has its cameras, github.com/iamlab-cmu/mrest-metaworld (xyz_base.xml):
    # left_cap2 and top_cap2 as its comments keep them, right_cap2 as it is there.
    "left_cap2": (-0.5, 0.0, 0.4),
    "right_cap2": (0.3, 0.0, 0.5),
    "top_cap2": (0.0, 0.9, 0.6),
}
"""Name to position (metres); each looks at the table's middle, its field of view 45 degrees."""

_LOOKED_AT = "tablelink"
_DRAWER_GOAL = (0, -0.36, 0.09)


def model_path(task: Task) -> Path:
    """Return the package's model of a task, found without importing the package.

    Raises:
        UserError: If the package is not installed, or of another version.
    """
    path = package_folder("metaworld", install=INSTALL) / "assets" / "sawyer_xyz" / task.model
    if not path.is_file():
        raise UserError(f"there is no {path}, expected MetaWorld 3: {INSTALL}")
    return path


def scene_spec(task: Task) -> mujoco.MjSpec:
    """Return a task's model with its cameras, to be compiled.

    What the package puts in different places by changing its model is a mocap body here, so that
    the state holds where it is.
    """
    spec = mujoco.MjSpec.from_file(str(model_path(task)))
    for name, position in CAMERAS.items():
        spec.worldbody.add_camera(
            name=name,
            pos=position,
            mode=mujoco.mjtCamLight.mjCAMLIGHT_TARGETBODY,
            targetbody=_LOOKED_AT,
            fovy=45,
        )
    if task.fixed:
        spec.body(task.thing).mocap = True
        _touch_children(spec, task.thing)
    if task.name == "drawer_open":
        _tie_goal(spec)
    return spec


def _touch_children(spec: mujoco.MjSpec, thing: str) -> None:
    """Let a thing that is a mocap body touch what moves on it, as it does where it is fixed.

    MuJoCo leaves out the contacts of a body with the one that it moves on, unless that is fixed to
    the world; since its 3.12, mocap bodies are not. So all but the thing's are left out by name.
    """
    world = spec.worldbody.name
    root, under = {world: world}, {world: world}  # of those that are fixed to each other
    for index, body in enumerate(spec.bodies[1:]):  # parents before their children
        body.name = body.name or f"body_{index}"
        free, parent = body.mocap or body.joints, root[body.parent.name]
        root[body.name], under[body.name] = (body.name, parent) if free else (parent, under[parent])
    for name, below in under.items():
        for other in root if below not in (world, thing) else ():
            if root[other] == below:
                spec.add_exclude(bodyname1=other, bodyname2=name)
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_FILTERPARENT.value


def _tie_goal(spec: mujoco.MjSpec) -> None:
    """Let the mark of where the handle is to go move with the drawer, as the package moves it."""
    free = spec.site("goal")
    free.name, shown = "untied", free.rgba.copy()
    free.rgba[3] = 0
    spec.body("drawer").add_site(name="goal", pos=_DRAWER_GOAL, size=free.size, rgba=shown)
