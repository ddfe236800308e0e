"""The two fair pairings of `agents/scaling.py`: equal error, and equal cost."""

import math

from saccade.agents.scaling import Row
from saccade.agents.scaling_page import place_of

MARGIN = 0.3  # points of error within which two systems count as equal


def pair(rows: list[Row]) -> list[Row]:
    """Rows of the pairings, chosen at the largest side: the chosen member's, under their names."""
    pairs, side = [], max(row["side"] for row in rows)
    for where in sorted({place_of(row)[:3] for row in rows}):
        mine = [row for row in rows if place_of(row)[:3] == where]
        same, equal = equal_error(mine, side)
        pairs += renamed(mine, "cnn-equal-error", same["method"], side, equal)
        other = equal_cost(mine, side)
        pairs += renamed(mine, "cnn-equal-cost", other["method"], side, None)
    return pairs


def renamed(rows: list[Row], method: str, choice: str, side: int, equal: bool | None) -> list[Row]:
    """A member's rows under the name of a pairing; `equal`: whether its error is the agent's."""
    more = {"method": method, "choice": choice, "chosen_at": side, "equal": equal}
    return [row | more for row in rows if row["method"] == choice]


def equal_error(rows: list[Row], side: int) -> tuple[Row, bool]:
    """The cheapest member whose error at a side is within `MARGIN` of the agent's, or lower.

    Args:
        rows: Of one series and background: the agent, and the family by name.
        side: The largest that was trained on.

    Returns:
        Its row at that side, by `seconds`, and True; where no member is as good, the one of least
        error, and False.
    """
    here = [row for row in rows if row["side"] == side]
    agent = next(row for row in here if row["method"] == "saccade")
    family = [row for row in here if row["method"].startswith("fcn")]
    limit = agent["error"] + MARGIN + 1e-9  # 2.4 + 0.3 is less than 2.7 in floating point
    good = [row for row in family if row["error"] <= limit]
    if good:
        return min(good, key=lambda row: row["seconds"]), True
    return min(family, key=lambda row: row["error"]), False


def equal_cost(rows: list[Row], side: int) -> Row:
    """The member of `seconds` nearest to the agent's at a side, by ratio, and not below half.

    Where all are below half it is the slowest.
    """
    here = [row for row in rows if row["side"] == side]
    agent = next(row for row in here if row["method"] == "saccade")["seconds"]
    family = [row for row in here if row["method"].startswith("fcn")]
    able = [row for row in family if row["seconds"] >= agent / 2]
    if not able:
        return max(family, key=lambda row: row["seconds"])
    return min(able, key=lambda row: abs(math.log(row["seconds"] / agent)))
