"""The rules of the boards, slowly and in plain words: lists of lists, one game at a time."""

from __future__ import annotations

AROUND = ((-1, 0), (1, 0), (0, -1), (0, 1))
HEXAGONAL = (*AROUND, (-1, 1), (1, -1))


class Slow:
    """One game: `grid[r][c]` is 0, 1 or 2; `legal()`, `play(action)`, `won` (0 open, 1, 2, 3 drawn)."""

    def __init__(self, kind: str, rows: int, columns: int, length: int = 0, komi: float = 0.0) -> None:
        self.kind, self.rows, self.columns, self.length, self.komi = kind, rows, columns, length, komi
        self.grid = [[0] * columns for _ in range(rows)]
        self.turn, self.ply, self.won, self.passed = 1, 0, 0, False
        self.seen = {self.key()}

    def key(self):
        return tuple(map(tuple, self.grid))

    def on(self, r, c):
        return 0 <= r < self.rows and 0 <= c < self.columns

    def legal(self) -> list[int]:
        if self.won:
            return []
        if self.kind == "drop":
            return [c for c in range(self.columns) if self.grid[0][c] == 0]
        cells = [(r, c) for r in range(self.rows) for c in range(self.columns) if self.grid[r][c] == 0]
        if self.kind == "go":
            can = [r * self.columns + c for r, c in cells if self._placed(r, c) is not None]
            return [*can, self.rows * self.columns]
        return [r * self.columns + c for r, c in cells]

    def _placed(self, r, c):
        """The grid after a stone of Go, or None where it may not be set."""
        grid = [row[:] for row in self.grid]
        grid[r][c] = self.turn
        for dr, dc in AROUND:
            if self.on(r + dr, c + dc) and grid[r + dr][c + dc] == 3 - self.turn:
                chain, free = chain_of(grid, r + dr, c + dc)
                if not free:
                    for y, x in chain:
                        grid[y][x] = 0
        if not chain_of(grid, r, c)[1] or tuple(map(tuple, grid)) in self.seen:
            return None
        return grid

    def play(self, action: int) -> None:
        r, c = divmod(action, self.columns)
        if self.kind == "go":
            passes = action == self.rows * self.columns
            if not passes:
                self.grid = self._placed(r, c)
                self.seen.add(self.key())
            self.ply += 1
            if (passes and self.passed) or self.ply == 2 * self.rows * self.columns:
                score = self.area() - self.komi
                self.won = 1 if score > 0 else 2 if score < 0 else 3
            self.passed = passes
        else:
            if self.kind == "drop":
                c = action
                r = max(y for y in range(self.rows) if self.grid[y][c] == 0)
            self.grid[r][c] = self.turn
            self.ply += 1
            if self.joined() if self.kind == "hex" else self.lined():
                self.won = self.turn
            elif self.ply == self.rows * self.columns:
                self.won = 3
        self.turn = 3 - self.turn

    def lined(self) -> bool:
        return any(
            all(self.on(r + i * dr, c + i * dc) and self.grid[r + i * dr][c + i * dc] == self.turn
                for i in range(self.length))
            for r in range(self.rows) for c in range(self.columns) for dr, dc in ((0, 1), (1, 0), (1, 1), (1, -1))
        )  # fmt: skip

    def joined(self) -> bool:
        edge = [(0, c) for c in range(self.columns)] if self.turn == 1 else [(r, 0) for r in range(self.rows)]
        open_ = [(r, c) for r, c in edge if self.grid[r][c] == self.turn]
        seen = set(open_)
        while open_:
            r, c = open_.pop()
            if (r if self.turn == 1 else c) == (self.rows if self.turn == 1 else self.columns) - 1:
                return True
            for dr, dc in HEXAGONAL:
                at = (r + dr, c + dc)
                if self.on(*at) and at not in seen and self.grid[at[0]][at[1]] == self.turn:
                    seen.add(at)
                    open_.append(at)
        return False

    def area(self) -> int:
        """The first player's stones and surrounded cells less the second's."""
        score, seen = 0, set()
        for r in range(self.rows):
            for c in range(self.columns):
                if self.grid[r][c]:
                    score += 1 if self.grid[r][c] == 1 else -1
                elif (r, c) not in seen:
                    region, _ = chain_of(self.grid, r, c)
                    seen |= region
                    touched = {
                        self.grid[y + dy][x + dx]
                        for y, x in region for dy, dx in AROUND if self.on(y + dy, x + dx)
                    } - {0}  # fmt: skip
                    score += len(region) * (touched == {1}) - len(region) * (touched == {2})
        return score


def chain_of(grid, r, c):
    """The cells of one content connected to a cell, and the empty cells beside them."""
    chain, open_, free = {(r, c)}, [(r, c)], set()
    while open_:
        y, x = open_.pop()
        for dy, dx in AROUND:
            at = (y + dy, x + dx)
            if not (0 <= at[0] < len(grid) and 0 <= at[1] < len(grid[0])):
                continue
            if grid[at[0]][at[1]] == 0:
                free.add(at)
            if grid[at[0]][at[1]] == grid[r][c] and at not in chain:
                chain.add(at)
                open_.append(at)
    return chain, free


def slow(name: str, komi: float = 0.5) -> Slow:
    """The slow game of a name."""
    return {
        "tictactoe": lambda: Slow("place", 3, 3, 3),
        "connect4": lambda: Slow("drop", 6, 7, 4),
        "gomoku7": lambda: Slow("place", 7, 7, 5),
        "go5": lambda: Slow("go", 5, 5, komi=komi),
        "hex3": lambda: Slow("hex", 3, 3),
        "hex5": lambda: Slow("hex", 5, 5),
        "hex7": lambda: Slow("hex", 7, 7),
    }[name]()
