# pyright: basic
# Numba compiles these for the arrays that they meet; a type would not tell more than the comment at each array.
"""Solvers that visit states one by one: by priority, or component by component. Arrays as in `bellman`."""

from __future__ import annotations

import numpy as np

from operant.mdp.kernels.bellman import ONE, best_row, serial

LEVELS = 64
"""Buckets of the priority queue: one for each power of two below the greatest priority."""
NOISE = 1e-9
"""Changes of this share of the greatest value, and no longer falling, may be rounding alone."""
EXACT = 100
"""States of a component up to which a policy that has settled is evaluated by elimination."""


@serial
def distances(pointer, indptr, indices, start, into, owner, distance, queue):
    """Steps from the first state of each piece of the undirected graph; distance [S] starts as -1."""
    for root in range(np.uint64(len(distance))):
        if distance[root] >= 0:
            continue
        distance[root], queue[0] = 0, root
        head, tail = np.uint64(0), ONE
        while head < tail:
            s = np.uint64(queue[head])
            head += ONE
            for k in range(np.uint64(indptr[pointer[s]]), np.uint64(indptr[pointer[s + ONE]])):
                t = np.uint64(indices[k])
                if distance[t] < 0:
                    distance[t], queue[tail] = distance[s] + 1, t
                    tail += ONE
            for k in range(np.uint64(start[s]), np.uint64(start[s + ONE])):
                t = np.uint64(owner[into[k]])
                if distance[t] < 0:
                    distance[t], queue[tail] = distance[s] + 1, t
                    tail += ONE


@serial
def level_of(priority, top):
    """The bucket of a priority: 0 for top and above, one more for every halving."""
    return min(LEVELS - 1, max(0, int(np.ceil(np.log2(top / priority)))))


@serial
def place(s, priority, top, level, heads, after, before):
    """Put state s into the bucket of its priority, taking it out of its old one."""
    new = level_of(priority, top)
    old = level[s]
    if old == new:
        return
    if old >= 0:
        take_out(s, level, heads, after, before)
    after[s], before[s], level[s] = heads[new], -1, new
    if heads[new] >= 0:
        before[heads[new]] = s
    heads[new] = s


@serial
def take_out(s, level, heads, after, before):
    """Take state s out of its bucket."""
    if before[s] >= 0:
        after[before[s]] = after[s]
    else:
        heads[level[s]] = after[s]
    if after[s] >= 0:
        before[after[s]] = before[s]
    level[s] = -1


@serial
def sweep_by_priority(
    pointer, indptr, indices, data, reward, discount, start, into, owner, v, choice, priority, least, top, most,
    level, heads, after, before,
):  # fmt: skip
    """Back up the state of the greatest priority, at most `most` times; how often.

    The priority of a state is a bound on |Tv - v| there: what its successors changed by, weighted and added up. States
    whose priority is `least` or less wait. start, into, owner: the rows that lead to each state, and their states.
    """
    for count in range(most):
        bucket = 0
        while bucket < LEVELS and heads[bucket] < 0:
            bucket += 1
        if bucket == LEVELS:
            return count
        s = np.uint64(heads[bucket])
        take_out(s, level, heads, after, before)
        best, row = best_row(
            np.uint64(pointer[s]), np.uint64(pointer[s + ONE]), indptr, indices, data, reward, discount, v
        )
        change = abs(best - v[s])
        v[s], choice[s], priority[s] = best, np.int64(row), 0.0
        for i in range(np.uint64(start[s]), np.uint64(start[s + ONE])):
            source = np.uint64(into[i])
            t = np.uint64(owner[source])
            for k in range(np.uint64(indptr[source]), np.uint64(indptr[source + ONE])):
                if indices[k] == s:
                    priority[t] += discount * data[k] * change
            if priority[t] > least:
                place(t, priority[t], top, level, heads, after, before)
    return most


@serial
def queue_all(priority, least, top, level, heads, after, before):
    """Put every state whose priority is more than `least` into its bucket."""
    for s in range(np.uint64(len(priority))):
        if priority[s] > least:
            place(s, priority[s], top, level, heads, after, before)


@serial
def farthest(pointer, indptr, indices, steps, most):
    """The most steps from any state to the nearest end; -1 if `most` passes over the states do not settle it.

    steps [S] is 0 at the ends, and at least S elsewhere; forwards and backwards in turn, as `solve_component` goes.
    """
    size = np.uint64(len(steps))
    for turn in range(most):
        largest, settled = 0, True
        for i in range(size):
            s = size - ONE - i if turn % 2 else i
            least = steps[s]
            for k in range(np.uint64(indptr[pointer[s]]), np.uint64(indptr[pointer[s + ONE]])):
                least = min(least, steps[indices[k]] + 1)
            settled = settled and least == steps[s]
            steps[s], largest = least, max(largest, least)
        if settled:
            return largest
    return -1


@serial
def evaluate_exactly(states, label, own, place, indptr, indices, data, reward, discount, v, choice):
    """v = (I - γ P_π)⁻¹ (r_π + γ P v beyond the component), by elimination; rows below 1 in sum need no pivoting."""
    n = len(states)
    system = np.zeros((n, n + 1))
    for i in range(n):
        place[states[i]] = i
    for i in range(n):
        row, beyond = np.uint64(choice[states[i]]), 0.0
        system[i, i] = 1.0
        for k in range(np.uint64(indptr[row]), np.uint64(indptr[row + ONE])):
            t = indices[k]
            if label[t] == own:
                system[i, place[t]] -= discount * data[k]
            else:
                beyond += data[k] * v[t]
        system[i, n] = reward[row] + discount * beyond
    for p in range(n):
        for i in range(p + 1, n):
            factor = system[i, p] / system[p, p]
            if factor != 0.0:  # grids and queues are banded: most are
                for j in range(p + 1, n + 1):
                    system[i, j] -= factor * system[p, j]
    for p in range(n - 1, -1, -1):
        total = system[p, n]
        for j in range(p + 1, n):
            total -= system[p, j] * v[states[j]]
        v[states[p]] = total / system[p, p]


PASSES, LAST, STALLED, PAUSE, TURN, SOLVED, WAIT, LARGEST, TOTAL, MASS, STABLE = range(11)
"""Where the work on a component stands: see the variables of `solve_component`."""


def begun(wait=0):
    """The memory of work on a component that has not begun; it is not moved as a whole in the first `wait` passes."""
    memo = np.empty(STABLE + 1)
    begin_again(memo)
    memo[WAIT] = wait
    return memo


@serial
def begin_again(memo):
    """Forget the last component."""
    memo[:] = 0.0
    memo[LAST], memo[PAUSE] = np.inf, 1.0


@serial
def solve_component(
    states, label, own, place, pointer, indptr, indices, data, reward, discount, v, choice, goal, inner, most,
    memo,
):  # fmt: skip
    """Solve the states of one component, given the values of all that it leads to; is it done, after `most` passes?

    Modified policy iteration in place, forwards and backwards in turn, until a pass changes no value by more than
    `goal`. A policy that a pass leaves as it was is evaluated exactly if the component is small; where the next pass
    leaves it so again, rounding is all that it changed. Else the component is moved as a whole by what its mean change
    and its chance to stay predict; not for a while where that did not help, twice as long every time, nor for the first
    memo[WAIT] passes.

    label [S] is `own` for the states of the component alone; place [S] is written to; choice [S] is -1 where none was
    made yet. memo, from `begun`, holds where the work stands: another call goes on as this one would have.
    """
    passes, stalled, pause, turn = int(memo[PASSES]), int(memo[STALLED]), int(memo[PAUSE]), int(memo[TURN])
    last, wait, solved, end = memo[LAST], int(memo[WAIT]), memo[SOLVED] > 0.0, len(states) - 1
    largest, total, mass, stable = memo[LARGEST], memo[TOTAL], memo[MASS], memo[STABLE] > 0.0
    while True:
        if passes > 0 and stable and len(states) <= EXACT:
            evaluate_exactly(states, label, own, place, indptr, indices, data, reward, discount, v, choice)
            solved = True
        elif passes > 0:
            solved = False
            if largest >= last and wait == 0:
                wait, pause = pause, 2 * pause
            last = min(last, largest)
            if wait > 0:
                wait -= 1
            else:
                shift = discount * (total / len(states)) / max(1.0 - discount * mass / len(states), 1e-12)
                for i in range(len(states)):
                    v[states[i]] += shift
            for _ in range(inner):
                turn += 1
                for i in range(len(states)):
                    s = np.uint64(states[i] if turn % 2 else states[end - i])
                    row = np.uint64(choice[s])
                    q = 0.0
                    for k in range(np.uint64(indptr[row]), np.uint64(indptr[row + ONE])):
                        q += data[k] * v[indices[k]]
                    v[s] = reward[row] + discount * q
        passes += 1
        largest, total, mass, norm = 0.0, 0.0, 0.0, 0.0
        stable = True
        turn += 1
        for i in range(len(states)):
            s = np.uint64(states[i] if turn % 2 else states[end - i])  # every other sweep goes backwards
            best, row = -np.inf, np.uint64(0)
            for r in range(np.uint64(pointer[s]), np.uint64(pointer[s + ONE])):
                q = 0.0
                for k in range(np.uint64(indptr[r]), np.uint64(indptr[r + ONE])):  # `row_value`, written out
                    q += data[k] * v[indices[k]]
                q = reward[r] + discount * q
                better = q > best
                best, row = q if better else best, r if better else row
            change = best - v[s]
            stable = stable and choice[s] == np.int64(row)
            v[s], choice[s] = best, np.int64(row)
            largest, total, norm = max(largest, abs(change)), total + change, max(norm, abs(best))
            for k in range(np.uint64(indptr[row]), np.uint64(indptr[row + ONE])):
                if label[indices[k]] == own:
                    mass += data[k]
        stalled = 0 if largest < last or largest > NOISE * norm else stalled + 1
        done = largest <= goal or stalled > 50 or (solved and stable)
        if done or passes >= most:
            memo[PASSES], memo[STALLED], memo[PAUSE], memo[TURN] = passes, stalled, pause, turn
            memo[LAST], memo[WAIT], memo[SOLVED], memo[STABLE] = last, wait, solved, stable
            memo[LARGEST], memo[TOTAL], memo[MASS] = largest, total, mass
            return done


@serial
def solve_components(
    order, start, label, place, pointer, indptr, indices, data, reward, discount, v, choice, goal, inner, at, most,
    work, memo,
):  # fmt: skip
    """Components from the one at `at` on, in an order in which none leads to a later one: (the next one, backups).

    A component of one state that does not lead to itself is solved by one backup. The call ends after some `work`
    backups, or where a component is not done in `most` passes: `memo` has where that one stands.
    """
    backups = 0
    for c in range(at, len(start) - 1):
        first, last = start[c], start[c + 1]
        s = np.uint64(order[first])
        if last - first == 1:
            begin, end = np.uint64(pointer[s]), np.uint64(pointer[s + ONE])
            if begin == end:
                choice[s] = -1
                continue
            alone = True
            for k in range(np.uint64(indptr[begin]), np.uint64(indptr[end])):
                if indices[k] == s:
                    alone = False
            if alone:
                best, row = best_row(begin, end, indptr, indices, data, reward, discount, v)
                v[s], choice[s] = best, np.int64(row)
                backups += 1
                continue
        before = int(memo[PASSES])
        now = min(most, before + max(1, (work - backups) // ((last - first) * (inner + 1))))
        done = solve_component(
            order[first:last], label, c, place, pointer, indptr, indices, data, reward, discount, v, choice, goal,
            inner, now, memo,
        )  # fmt: skip
        backups += (last - first) * (int(memo[PASSES]) - before)
        if not done:
            return c, backups
        begin_again(memo)
        if backups * (inner + 1) >= work:
            return c + 1, backups
    return len(start) - 1, backups
