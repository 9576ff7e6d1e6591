"""Thinned meshes: fewer triangles, nearly the same pictures, the very same physics."""

import mujoco
import numpy as np
import pytest

from vipl.control.meshes import count_triangles, thin_meshes
from vipl.errors import UserError
from vipl.evaluation.suites.registry import load_suite
from vipl_evaluators.frankakitchen.environment import KitchenEnv
from vipl_evaluators.frankakitchen.tasks import TASKS

GRID_M = 0.006
TASK = TASKS["sdoor_open"]


def sheet(side: int) -> mujoco.MjModel:
    """A flat square of a metre with `side` vertices a side."""
    line = np.linspace(-0.5, 0.5, side)
    points = np.array([(x, y, 0) for x in line for y in line] + [(0, 0, 1.0)])  # and one: not flat
    corner = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).ravel()
    first = np.stack([corner, corner + side, corner + 1], axis=1)
    second = np.stack([corner + 1, corner + side, corner + side + 1], axis=1)
    spec = mujoco.MjSpec()
    mesh = spec.add_mesh(name="sheet")
    mesh.uservert, mesh.userface = points.ravel(), np.concatenate([first, second]).ravel()
    mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname="sheet")
    return spec.compile()


def area(model: mujoco.MjModel) -> float:
    faces = model.mesh_face[: model.mesh_facenum[0]]
    first, second, third = model.mesh_vert[faces].transpose(1, 0, 2)
    return float(np.linalg.norm(np.cross(second - first, third - first), axis=1).sum() / 2)


def test_a_sheet_keeps_its_area_and_its_sides_with_a_tenth_of_its_triangles():
    model = sheet(60)
    before = model.mesh_face.copy()
    thinned = thin_meshes(model, 0.06)
    assert count_triangles(model) == 2 * 59**2
    assert 0 < count_triangles(thinned) < count_triangles(model) / 10
    assert area(thinned) == pytest.approx(area(model), rel=0.1)
    faces = thinned.mesh_face[: count_triangles(thinned)]
    assert len(np.unique(np.sort(faces), axis=0)) == len(faces)
    first, second, third = thinned.mesh_vert[faces].transpose(1, 0, 2)
    normals = np.cross(second - first, third - first)
    up = np.cross(*np.diff(model.mesh_vert[model.mesh_face[0]], axis=0))
    assert (normals @ up > 0).mean() > 0.99  # seen from the same side
    assert np.array_equal(model.mesh_face, before)


def test_small_meshes_stay_as_they_are():
    model = sheet(40)
    assert np.array_equal(thin_meshes(model, 0.1).mesh_face, model.mesh_face)


def test_round_shapes_get_fewer_facets_in_the_copy_alone():
    model = sheet(10)
    drawn, usual = thin_meshes(model, 0.1).vis.quality, model.vis.quality
    assert (usual.numslices, usual.numstacks, usual.numquads) == (28, 16, 4)
    assert (drawn.numslices, drawn.numstacks, drawn.numquads) == (14, 2, 2)


def test_a_mesh_within_one_cell_is_drawn_all_the_same():
    model = sheet(60)
    assert count_triangles(thin_meshes(model, 1e3)) > 0


@pytest.fixture(scope="module")
def plain():
    return KitchenEnv(TASK, image_size=64)


@pytest.fixture(scope="module")
def thinned():
    return KitchenEnv(TASK, image_size=64, threads=2, mesh_grid_m=GRID_M)


@pytest.fixture(scope="module")
def states(plain):
    plan = np.random.default_rng(0).uniform(-1, 1, (1, 8, plain.action_size))
    return plain.rollout(plain.start_state(), plan)[0]


def test_rollouts_are_the_same_to_the_last_bit(plain, thinned, states):
    plan = np.random.default_rng(0).uniform(-1, 1, (1, 8, plain.action_size))
    assert np.array_equal(thinned.rollout(thinned.start_state(), plan)[0], states)
    for name in (
        "mesh_vert",
        "mesh_face",
        "mesh_facenum",
        "mesh_graph",
        "geom_pos",
        "body_inertia",
    ):
        assert np.array_equal(getattr(thinned.model, name), getattr(plain.model, name)), name


@pytest.mark.usefixtures("opengl")
def test_pictures_differ_little_and_are_alike_from_several_processes(plain, thinned, states):
    alone = np.concatenate([thinned.render(state[None], "left_cam") for state in states])
    expected = plain.render(states, "left_cam")
    difference = np.abs(alone.astype(float) - expected)
    assert 0 < difference.mean() < 1
    assert np.array_equal(thinned.render(states, "left_cam"), alone)  # shared by two processes
    assert "_renderers" in thinned.__dict__
    thinned.close()
    plain.close()


def test_wrong_widths():
    with pytest.raises(UserError, match=r"mesh_grid_m is 0, expected a length in metres above 0"):
        KitchenEnv(TASK, mesh_grid_m=0)


@pytest.mark.parametrize("name", ["frankakitchen", "metaworld", "adroit"])
def test_every_suite_hands_it_on_and_tells_such_pictures_from_others(name):
    cls = load_suite(name).cls
    usual, thin = cls(), cls(mesh_grid_m=GRID_M)
    assert "mesh_grid_m" not in usual.env_options
    assert thin.env_options["mesh_grid_m"] == GRID_M
    task = next(iter(thin.tasks()))
    assert thin.rendering(task) != usual.rendering(task)
    with pytest.raises(UserError, match="mesh_grid_m is -1"):
        cls(mesh_grid_m=-1.0)
    if name == "metaworld":
        pytest.importorskip("metaworld")
    env = thin.make_env(task)
    assert count_triangles(env._drawn_model) <= count_triangles(env.model)
    env.close()
