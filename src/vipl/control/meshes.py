"""Models with fewer triangles, for pictures alone.

A software renderer's time goes with the triangles, and models of robots have far more of them than
a small picture can show: in their meshes, and in the round shapes that MuJoCo draws with facets.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vipl.errors import UserError

if TYPE_CHECKING:
    import mujoco  # checking a width needs no simulator

# Around and along round shapes, and along the sides of boxes; MuJoCo has 28, 16 and 4.
_SLICES, _STACKS, _QUADS = 14, 2, 2

_MANY_TRIANGLES = 5000  # of a mesh; smaller ones are left alone: they cost little, and may be thin


def check_grid(grid_m: float | None) -> None:
    """Refuse a grid that is no length.

    Raises:
        UserError: If it is not above 0.
    """
    if grid_m is not None and not 0 < grid_m < np.inf:
        raise UserError(
            f"mesh_grid_m is {grid_m}, expected a length in metres above 0, such as 0.006, or "
            "none to draw the meshes as they are"
        )


def thin_meshes(model: mujoco.MjModel, grid_m: float) -> mujoco.MjModel:
    """Return a copy of a model for drawing, whose vertices in one cell of a grid are one.

    Triangles that thereby lose their area, or become others' doubles, go. Meshes of 5,000 triangles
    or fewer stay as they are. Spheres, capsules and cylinders get half as many facets around and an
    eighth along. The model itself, its physics and its collisions are not touched: the
    copy is not meant to be simulated.

    Args:
        model: To be drawn.
        grid_m: Width of a cell, in metres.

    Raises:
        UserError: If the width is not above 0.
    """
    check_grid(grid_m)
    drawn = copy.copy(model)
    quality = drawn.vis.quality
    quality.numslices, quality.numstacks, quality.numquads = _SLICES, _STACKS, _QUADS
    for mesh in np.flatnonzero(model.mesh_facenum > _MANY_TRIANGLES):
        _thin(drawn, int(mesh), grid_m)
    return drawn


def count_triangles(model: mujoco.MjModel) -> int:
    """Return the number of triangles of all meshes together."""
    return int(model.mesh_facenum.sum())


def _thin(model: mujoco.MjModel, mesh: int, grid_m: float) -> None:
    first, number = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
    chosen = _one_a_cell(model.mesh_vert[first : first + number], grid_m)
    first, number = model.mesh_faceadr[mesh], model.mesh_facenum[mesh]
    triangles = chosen[model.mesh_face[first : first + number]]
    kept = _distinct(triangles)
    if not len(kept):
        return  # a mesh within one cell
    here = slice(first, first + len(kept))
    for values in (model.mesh_facenormal, model.mesh_facetexcoord):
        values[here] = values[first + kept]
    model.mesh_face[here] = triangles[kept]
    model.mesh_facenum[mesh] = len(kept)


def _one_a_cell(vertices: NDArray[np.float32], grid_m: float) -> NDArray[np.intp]:
    """Return, for each of V vertices [V, 3], which one stands for its cell: [V]."""
    cells = np.floor(vertices / grid_m).astype(np.int64)
    _, chosen, cell = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    return np.asarray(chosen[cell.ravel()])


def _distinct(triangles: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return which of F triangles [F, 3] have three corners, one of each set of doubles: [K].

    The same corners the other way round are another triangle: that seen from the other side.
    """
    first, second, third = triangles.T
    whole = np.flatnonzero((first != second) & (second != third) & (third != first))
    least = triangles[whole].argmin(axis=1)
    turned = np.take_along_axis(
        triangles[whole], (least[:, None] + np.arange(3)) % 3, axis=1
    )  # the smallest corner first, the direction kept
    _, chosen = np.unique(turned, axis=0, return_index=True)
    return whole[np.sort(chosen)]
