"""A partition of n things: which of them belong together."""

from collections.abc import Hashable, Iterable


class Groups:
    """Disjoint sets with path halving. Tarjan and van Leeuwen 1984, "Worst-case analysis of set union algorithms"."""

    def __init__(self, count: int):
        self._parents = list(range(count))

    def root(self, i: int) -> int:
        """Return the one that stands for all that belong together with `i`."""
        while self._parents[i] != i:
            self._parents[i] = i = self._parents[self._parents[i]]
        return i

    def join(self, i: int, j: int) -> None:
        """Let two belong together."""
        self._parents[self.root(i)] = self.root(j)

    def join_equal(self, values: Iterable[Hashable]) -> None:
        """Let those with equal values belong together; values that are empty are equal to none."""
        first: dict[Hashable, int] = {}
        for i, value in enumerate(values):
            if value:
                self.join(i, first.setdefault(value, i))
