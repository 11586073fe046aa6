"""Figures with their goals, the measurements taken of them, and the table."""

import math
from dataclasses import dataclass, field


@dataclass
class Figure:
    """One line of the table."""

    name: str
    unit: str
    goal: float | None = None
    """None: no goal, only known."""
    at_least: bool = False
    """More is better; otherwise less is."""
    measured: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return self._rank(0.5)

    @property
    def p99(self) -> float:
        """99 of 100 measurements are at least as good; the worst where there are fewer than 100."""
        return self._rank(0.99)

    def _rank(self, share: float) -> float:
        """Nearest rank, the good ones first."""
        ordered = sorted(self.measured, reverse=self.at_least)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]

    @property
    def held(self) -> str:
        if self.goal is None:
            return ""
        better = self.median >= self.goal if self.at_least else self.median <= self.goal
        return "yes" if better else "NO"

    def cells(self) -> list[str]:
        goal = "" if self.goal is None else f"{'at least' if self.at_least else 'at most'} {self.goal:g}"
        return [
            self.name,
            self.unit,
            goal,
            _number(self.median),
            _number(self.p99),
            str(len(self.measured)),
            self.held,
        ]


class Ledger:
    """All figures, in the order in which they were first named."""

    def __init__(self) -> None:
        self.figures: dict[str, Figure] = {}

    def note(self, name: str, unit: str, *values: float, goal: float | None = None, at_least: bool = False) -> None:
        """Add measurements to a figure."""
        self.figures.setdefault(name, Figure(name, unit, goal, at_least)).measured.extend(values)

    @property
    def missed(self) -> list[str]:
        return [figure.name for figure in self.figures.values() if figure.held == "NO"]

    def table(self) -> str:
        """In Markdown, aligned."""
        rows = [["figure", "unit", "goal", "median", "p99", "n", "held"]]
        rows += [figure.cells() for figure in self.figures.values()]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        rows.insert(1, ["-" * width for width in widths])
        return "\n".join(
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
        )


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
