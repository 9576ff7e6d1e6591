"""HLG and PQ pictures brought to ordinary range: one fixed curve, from the standards.

1. The signal becomes light on a display of 1,000 cd/m²: ITU-R BT.2100, table 4 (PQ, brighter light
   cut off) or table 5 (HLG, system gamma 1.2).
2. The greatest of R, G and B goes through the curve of ITU-R BT.2390 (section "EETF", black left
   as it is), which brings 1,000 cd/m² to 203, where BT.2408 puts white, and keeps dark tones; the
   other two keep their ratios to it, and so the hue.
3. BT.2020's primaries become BT.709's (ITU-R BT.2087), colours outside of them are cut off, and the
   light is coded by BT.1886's gamma of 2.4, black at 0, 203 cd/m² at 255.

Shapes: H x W pixels.
"""

import numpy as np
from numpy.typing import NDArray

PEAK, WHITE = 1000.0, 203.0  # cd/m²

_Floats = NDArray[np.float32]
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_A = 0.17883277
_B = 1 - 4 * _A
_C = 0.5 - _A * np.log(4 * _A)
_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], np.float32)
_BT2020_TO_BT709 = np.array(
    [
        [1.660491, -0.587641, -0.072850],
        [-0.124550, 1.132900, -0.008349],
        [-0.018151, -0.100579, 1.118730],
    ],
    np.float32,
)


def tone_mapped(
    signal: NDArray[np.uint16], *, transfer: str, bt2020: bool = True
) -> NDArray[np.uint8]:
    """Return uint8 [H, W, 3] of ordinary range.

    Args:
        signal: uint16 [H, W, 3], R'G'B' from 0 to 65535.
        transfer: "HLG" or "PQ".
        bt2020: Whether the primaries are BT.2020's; else they are left.
    """
    coded = signal.astype(np.float32) / np.float32(65535)
    light = _hlg_light(coded) if transfer == "HLG" else _pq_light(coded)
    greatest = light.max(axis=-1, keepdims=True)
    light *= _compressed(greatest) / np.maximum(greatest, np.float32(1e-6)) / np.float32(WHITE)
    if bt2020:
        light = light @ _BT2020_TO_BT709.T
    coded = light.clip(0, 1) ** np.float32(1 / 2.4)
    return np.asarray((coded * 255).round(), np.uint8)


def _hlg_light(coded: _Floats) -> _Floats:
    """Return cd/m² on a display of 1,000 by BT.2100's HLG."""
    scene = np.where(coded <= 0.5, coded**2 / 3, (np.exp((coded - _C) / _A) + _B) / 12)
    luminance = (scene @ _LUMINANCE)[..., None]
    return np.asarray(PEAK * luminance**0.2 * scene, np.float32)


def _pq_light(coded: _Floats) -> _Floats:
    """Return cd/m², at most `PEAK`, by BT.2100's PQ."""
    root = coded ** np.float32(1 / _M2)
    light = 10000 * (np.maximum(root - _C1, 0) / (_C2 - _C3 * root)) ** (1 / _M1)
    return np.asarray(np.minimum(light, PEAK), np.float32)


def _pq(light: _Floats | float) -> _Floats:
    """Return PQ's code, 0 to 1, of cd/m²."""
    power = (np.asarray(light, np.float32) / np.float32(10000)) ** np.float32(_M1)
    return np.asarray(((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2, np.float32)


def _compressed(light: _Floats) -> _Floats:
    """Return cd/m² from 0 to `WHITE` by BT.2390's curve, of 0 to `PEAK`."""
    peak = _pq(PEAK)
    top = _pq(WHITE) / peak
    knee = 1.5 * top - 0.5
    code = np.minimum(_pq(light) / peak, 1)
    t = (code - knee) / (1 - knee)
    curve = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (-2 * t**3 + 3 * t**2) * top
    )
    return _pq_light(np.where(code < knee, code, curve).astype(np.float32) * peak)
