"""What a driver would mind: road where there is none, road not seen, and how far the way is thought to be free.

Every measure is a ratio of sums over pictures; a picture adds a row of :data:`COLUMNS`, so that all of them are
resampled together with the confusion matrices.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from drivable.labels import LabelSet

LabelMap = NDArray[np.uint8]
Mask = NDArray[np.bool_]
# Shares of the picture: the ego corridor is a trapezoid, half as wide as the picture at its bottom and a tenth at the
# row where roads end in most pictures of a forward camera.
_CORRIDOR_TOP, _CORRIDOR_TOP_WIDTH, _CORRIDOR_WIDTH = 0.5, 0.1, 0.5
# A false alarm or an island smaller than this share of the picture is a speck.
SPECK = 0.001
# Of the picture's diagonal, as Cheng et al. 2021 have it.
BOUNDARY_WIDTH = 0.02


@dataclass(frozen=True)
class GroundCamera:
    """A camera over flat ground, to turn rows into metres: distance = focal length x height / (row - horizon).

    Args:
        focal_px: focal length in pixels, at the size the pictures have.
        height_m: of the camera above the ground.
        horizon_row: row of the horizon, 0 at the top.

    Example:
        >>> GroundCamera(500.0, 1.5, 180.0).distance_m(np.array([205.0])).tolist()
        [30.0]
    """

    focal_px: float
    height_m: float
    horizon_row: float

    def distance_m(self, rows: NDArray[np.float64], farthest_m: float = 100.0) -> NDArray[np.float64]:
        """Distance of the ground seen in ``rows``; at most ``farthest_m``, the horizon and above included."""
        below = rows - self.horizon_row
        distance = np.full(rows.shape, farthest_m)
        np.divide(self.focal_px * self.height_m, below, out=distance, where=below > 0)
        return np.asarray(np.minimum(distance, farthest_m))


# name -> (numerator column, denominator column, what it says)
MEASURES: dict[str, tuple[str, str, str]] = {
    "leak rate": ("leak_px", "background_px", "background called drivable"),
    "leak rate in the ego corridor": ("corridor_leak_px", "corridor_background_px", "the same, in the way ahead"),
    "missed road": ("missed_px", "road_px", "road called background"),
    "swap rate": ("swapped_px", "kept_px", "road found, but of another class: direct for alternative or back"),
    "free space error": (
        "free_rows",
        "free_columns",
        "how far the end of the free way is off per column, of the height",
    ),
    "free space error (m)": ("free_m", "free_columns_m", "the same in metres, on flat ground"),
    "free space too far": ("free_too_far", "free_columns", "columns that seem free 5 % of the height too far"),
    "false alarms": ("alarms", "roadless", "pictures without road in which road is seen"),
    "phantom islands per picture": ("islands", "pictures", "pieces of road that touch no true road"),
    "boundary IoU": ("boundary_hit", "boundary_union", "of road, within 2 % of the diagonal from its border"),
}
COLUMNS = tuple(
    dict.fromkeys(column for numerator, denominator, _ in MEASURES.values() for column in (numerator, denominator))
)


def safety_row(
    actual: LabelMap, predicted: LabelMap, labels: LabelSet, camera: GroundCamera | None = None
) -> NDArray[np.float64]:
    """What one picture adds to every measure.

    Args:
        actual: true ids (H, W); ignored pixels count nowhere.
        predicted: ids of the same shape.
        labels: the classes; one of them is background.
        camera: for distances in metres.

    Returns:
        (len(COLUMNS),).

    Example:
        >>> road = np.zeros((90, 160), np.uint8)
        >>> row = safety_row(road + 2, road, BDD100K_DRIVABLE)
        >>> row[COLUMNS.index("leak_px")] == row[COLUMNS.index("background_px")]
        True
    """
    counted = actual != labels.ignore_id
    is_background = actual == labels.background_id
    is_road = counted & ~is_background
    seen = (predicted != labels.background_id) & counted
    leak, kept = seen & is_background, seen & is_road
    corridor = _corridor(actual.shape)
    num_road = int(is_road.sum())
    values = {
        "leak_px": leak.sum(),
        "background_px": is_background.sum(),
        "corridor_leak_px": (leak & corridor).sum(),
        "corridor_background_px": (is_background & corridor).sum(),
        "missed_px": num_road - kept.sum(),
        "road_px": num_road,
        "swapped_px": (kept & (actual != predicted)).sum(),
        "kept_px": kept.sum(),
        "roadless": num_road == 0,
        "alarms": num_road == 0 and seen.sum() > SPECK * seen.size,
        "islands": _num_islands(seen, is_road),
        "pictures": 1,
        **_free_space(is_road, seen, camera),
        **_boundary(is_road, seen),
    }
    return np.array([values[column] for column in COLUMNS], dtype=np.float64)


def measures(sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Every measure from sums of rows.

    Args:
        sums: (..., len(COLUMNS)).

    Returns:
        By name, (...); NaN where nothing defines it.
    """
    result = {}
    for name, (numerator, denominator, _) in MEASURES.items():
        above, below = sums[..., COLUMNS.index(numerator)], sums[..., COLUMNS.index(denominator)]
        result[name] = np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0)
    return result


def free_space_rows(road: Mask) -> NDArray[np.intp]:
    """Where the free way ends in each column: the row above the road that begins lowest, going up.

    What lies below that road, a bonnet for instance, is passed over. A column without road ends at the bottom.

    Args:
        road: (H, W).

    Returns:
        (W,) rows, -1 (road up to the top) .. H - 1 (no road).

    Example:
        >>> free_space_rows(np.array([[1], [0], [1], [1], [0]], dtype=bool)).tolist()
        [1]
    """
    height = len(road)
    upwards = road[::-1]
    first = upwards.argmax(axis=0)
    ended = ~upwards & (np.arange(height)[:, None] > first)
    last = np.where(ended.any(axis=0), ended.argmax(axis=0), height)
    return np.where(road.any(axis=0), height - 1 - last, height - 1)


def _free_space(is_road: Mask, seen: Mask, camera: GroundCamera | None) -> dict[str, float]:
    """Only columns in which there is road, or road is seen, have a distance to be wrong about."""
    height = len(is_road)
    columns = is_road.any(axis=0) | seen.any(axis=0)
    true_rows, seen_rows = free_space_rows(is_road)[columns], free_space_rows(seen)[columns]
    metres = 0.0
    if camera is not None:
        true_m, seen_m = (camera.distance_m(rows.astype(np.float64) + 0.5) for rows in (true_rows, seen_rows))
        metres = float(np.abs(true_m - seen_m).sum())
    return {
        "free_rows": float(np.abs(true_rows - seen_rows).sum()) / height,
        "free_too_far": float((true_rows - seen_rows > 0.05 * height).sum()),
        "free_columns": float(columns.sum()),
        "free_m": metres,
        "free_columns_m": float(columns.sum()) if camera is not None else 0.0,
    }


def _num_islands(seen: Mask, is_road: Mask) -> int:
    # Every second pixel of every second row: pieces are large, and finding them is most of what scoring costs.
    thinned = np.ascontiguousarray(seen[::2, ::2])
    num, pieces, stats, _ = cv2.connectedComponentsWithStats(thinned.view(np.uint8), connectivity=8)
    touches = np.bincount(pieces[is_road[::2, ::2]], minlength=num) > 0
    large = stats[:, cv2.CC_STAT_AREA] > SPECK * thinned.size
    return int((large & ~touches)[1:].sum())


def _boundary(is_road: Mask, seen: Mask) -> dict[str, float]:
    """Boundary IoU (Cheng et al. 2021, eq. 2): of the pixels within d of either mask's own border, inside it."""
    width = max(1, round(BOUNDARY_WIDTH * float(np.hypot(*is_road.shape))))
    rims = [_rim(mask, width) for mask in (is_road, seen)]
    hit = rims[0] & rims[1]
    return {"boundary_hit": float(hit.sum()), "boundary_union": float((rims[0] | rims[1]).sum())}


def _rim(mask: Mask, width: int) -> Mask:
    # The picture's edge is a border too, as the authors' code has it.
    kernel = np.ones((2 * width + 1, 2 * width + 1), dtype=np.uint8)
    inner = cv2.erode(mask.view(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(mask & ~inner.astype(bool))


@lru_cache(maxsize=8)
def _corridor(size: tuple[int, ...]) -> Mask:
    height, width = size[:2]
    down = (np.arange(height)[:, None] / height - _CORRIDOR_TOP) / (1 - _CORRIDOR_TOP)
    half_width = (_CORRIDOR_TOP_WIDTH + (_CORRIDOR_WIDTH - _CORRIDOR_TOP_WIDTH) * down) / 2
    return np.asarray((down >= 0) & (np.abs(np.arange(width) / width - 0.5) <= half_width))
