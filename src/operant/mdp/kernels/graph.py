# pyright: basic
"""Loops over the graph of a model: states, their live rows, and the entries of positive probability. Numba, serial.

`live` [L] says which rows exist for the question asked; entries of probability zero are no edges. Every loop touches an
entry a constant number of times per round.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from operant.data.compiled import compiled

kernel = partial(compiled, nogil=True, error_model="numpy")


@kernel
def strong(pointer, indptr, indices, data, live, roots, label, first, number, low, stack, calls, at_row, at_entry):
    """Tarjan's algorithm without recursion, from `roots`; returns one more than the last label given.

    `number` is 0 and `label` -1 for states not visited yet. Components are labelled `first`, `first` + 1, … as they are
    completed, sinks first.
    """
    counter, component, height = 0, first, 0
    for root in roots:
        if number[root] != 0:
            continue
        counter += 1
        number[root] = low[root] = counter
        stack[height] = root
        height += 1
        calls[0], depth = root, 1
        at_row[root] = pointer[root]
        at_entry[root] = indptr[np.int64(pointer[root])]
        while depth > 0:
            s = np.int64(calls[depth - 1])
            row, k = np.int64(at_row[s]), np.int64(at_entry[s])
            last, child = np.int64(pointer[s + 1]), np.int64(-1)
            while row < last and child < 0:
                end = np.int64(indptr[row + 1])
                if live[row]:
                    while k < end:
                        if data[k] > 0.0:
                            t = np.int64(indices[k])
                            if number[t] == 0:
                                child = t
                                break
                            if label[t] < 0 and low[t] < low[s]:
                                low[s] = low[t]
                        k += 1
                if child < 0:
                    row += 1
                    k = end
            at_row[s], at_entry[s] = row, k
            if child >= 0:  # this entry is looked at again on return, and then lowers low[s]
                counter += 1
                number[child] = low[child] = counter
                stack[height] = child
                height += 1
                calls[depth] = child
                depth += 1
                at_row[child] = pointer[child]
                at_entry[child] = indptr[np.int64(pointer[child])]
                continue
            depth -= 1
            if low[s] == number[s]:
                while True:
                    height -= 1
                    t = np.int64(stack[height])
                    label[t] = component
                    if t == s:
                        break
                component += 1
    return component


@kernel
def transpose(indptr, indices, data, start, into):
    """Rows that lead to each state: fills `start` [S+1] (zeroed) and `into` [nnz]; no entry of probability zero counts.

    Returns how many were written.
    """
    for k in range(len(indices)):
        if data[k] > 0.0:
            start[np.int64(indices[k]) + 1] += 1
    for s in range(1, len(start)):
        start[s] += start[s - 1]
    for row in range(len(indptr) - 1):
        for k in range(np.int64(indptr[row]), np.int64(indptr[row + 1])):
            if data[k] > 0.0:
                t = np.int64(indices[k])
                into[start[t]] = row
                start[t] += 1
    for s in range(len(start) - 1, 0, -1):
        start[s] = start[s - 1]
    start[0] = 0
    return start[len(start) - 1]


@kernel
def owners(pointer, owner):
    """The state of each row."""
    for s in range(len(pointer) - 1):
        for row in range(np.int64(pointer[s]), np.int64(pointer[s + 1])):
            owner[row] = s


@kernel
def missing(indptr, data, mask):
    """Which rows lack mass by more than their own rounding."""
    for row in range(len(indptr) - 1):
        total, length = 0.0, 0
        for k in range(np.int64(indptr[row]), np.int64(indptr[row + 1])):
            total += data[k]
            length += 1
        mask[row] = total < 1.0 - (length + 2) * 1.2e-16


@kernel
def forward(pointer, indptr, indices, data, live, stop, seen, queue):
    """Marks in `seen` what the states marked there lead to through live rows; states in `stop` are not left."""
    height = 0
    for s in range(len(seen)):
        if seen[s]:
            queue[height] = s
            height += 1
    while height > 0:
        height -= 1
        s = np.int64(queue[height])
        if stop[s]:
            continue
        for row in range(np.int64(pointer[s]), np.int64(pointer[s + 1])):
            if live[row]:
                for k in range(np.int64(indptr[row]), np.int64(indptr[row + 1])):
                    t = np.int64(indices[k])
                    if data[k] > 0.0 and not seen[t]:
                        seen[t] = True
                        queue[height] = t
                        height += 1


@kernel
def attract(start, into, owner, live, blocked, seen, queue, height, choice, level):
    """Marks in `seen` the states with a live row that leads to a marked state, breadth first.

    `queue[:height]` holds the states marked so far. States in `blocked` are not entered. `choice` receives the row that
    makes the step: following it, the distance to the first set, in `level`, falls by one with positive probability.
    """
    at = 0
    while at < height:
        t = np.int64(queue[at])
        at += 1
        for j in range(start[t], start[t + 1]):
            row = np.int64(into[j])
            s = np.int64(owner[row])
            if live[row] and not seen[s] and not blocked[s]:
                seen[s] = True
                choice[s] = row
                level[s] = level[t] + 1
                queue[height] = s
                height += 1
    return height


@kernel
def approach(pointer, indptr, indices, data, leaks, level, choice):
    """choice(s): of the rows that may lead to a lower level or leak, the one of the least mean level (a leak: 0)."""
    for s in range(len(level)):
        least = np.inf
        for row in range(np.int64(pointer[s]), np.int64(pointer[s + 1])):
            mean, closer = 0.0, leaks[row]
            for k in range(np.int64(indptr[row]), np.int64(indptr[row + 1])):
                if data[k] > 0.0:
                    mean += data[k] * level[np.int64(indices[k])]
                    closer = closer or level[np.int64(indices[k])] < level[s]
            if closer and mean < least:
                least = mean
                choice[s] = row


@kernel
def remove(start, into, owner, live, count, dead, queue, height):
    """Kills every live row that leads to a state in `queue[:height]` (all marked `dead`), and states left without rows.

    `count` is the number of live rows of each state. The queue ends up with every state that died; returns its length.
    """
    at = 0
    while at < height:
        t = np.int64(queue[at])
        at += 1
        for j in range(start[t], start[t + 1]):
            row = np.int64(into[j])
            if live[row]:
                live[row] = False
                s = np.int64(owner[row])
                count[s] -= 1
                if count[s] == 0 and not dead[s]:
                    dead[s] = True
                    queue[height] = s
                    height += 1
    return height


@kernel
def bury(pointer, live, dead, queue, count):
    """Kills the live rows of the states in `queue`, whose count becomes zero."""
    for s in queue:
        count[s] = 0
        for row in range(np.int64(pointer[s]), np.int64(pointer[s + 1])):
            live[row] = False
        dead[s] = True


@kernel
def counted(pointer, live, count):
    """The number of live rows of each state."""
    for s in range(len(pointer) - 1):
        total = 0
        for row in range(np.int64(pointer[s]), np.int64(pointer[s + 1])):
            total += live[row]
        count[s] = total


@kernel
def forced(start, into, owner, seen, touched, count, queue, height):
    """Marks in `seen` the states all of whose rows lead to a marked state with positive probability: every policy.

    `count` [S] counts the rows of each state not `touched` [L] yet; `queue[:height]` holds the states marked so far.
    """
    at = 0
    while at < height:
        t = np.int64(queue[at])
        at += 1
        for j in range(start[t], start[t + 1]):
            row = np.int64(into[j])
            if not touched[row]:
                touched[row] = True
                s = np.int64(owner[row])
                count[s] -= 1
                if count[s] == 0 and not seen[s]:
                    seen[s] = True
                    queue[height] = s
                    height += 1
    return height


@kernel
def leaving(pointer, indptr, indices, data, live, label, states, count, queue):
    """Kills the live rows of `states` that lead out of their component.

    Returns how many states were left without rows; they are in `queue`.
    """
    height = 0
    for s in states:
        for row in range(np.int64(pointer[s]), np.int64(pointer[s + 1])):
            if live[row]:
                for k in range(np.int64(indptr[row]), np.int64(indptr[row + 1])):
                    if data[k] > 0.0 and label[np.int64(indices[k])] != label[s]:
                        live[row] = False
                        count[s] -= 1
                        break
        if count[s] == 0:
            queue[height] = s
            height += 1
    return height


@kernel
def gather(indptr, indices, data, origin, block, scaled, new_indptr, new_indices, new_data):
    """Copies the rows `origin` (-1: an empty row), successors renamed by `block`; rows in `scaled` then sum to 1."""
    at = 0
    for i in range(len(origin)):
        new_indptr[i] = at
        row = np.int64(origin[i])
        if row >= 0:
            total = 1.0
            if scaled[row]:
                total = 0.0
                for k in range(np.int64(indptr[row]), np.int64(indptr[row + 1])):
                    total += data[k]
            for k in range(np.int64(indptr[row]), np.int64(indptr[row + 1])):
                if data[k] > 0.0:
                    new_indices[at] = block[np.int64(indices[k])]
                    new_data[at] = data[k] / total
                    at += 1
    new_indptr[len(origin)] = at
    return at


@kernel
def leads(indptr, indices, data, mask, out):
    """out(row): whether the row may lead to a state in `mask`."""
    for row in range(len(indptr) - 1):
        out[row] = False
        for k in range(np.int64(indptr[row]), np.int64(indptr[row + 1])):
            if data[k] > 0.0 and mask[np.int64(indices[k])]:
                out[row] = True
                break
