"""Which split or fold each group of examples goes to, so that every class is in all of them in its share."""

import numpy as np


def assign_single_labels(
    labels: np.ndarray, groups: np.ndarray, fractions: np.ndarray, order: np.ndarray
) -> np.ndarray:
    """Assign groups whose examples have one class each.

    Groups of several examples come first, largest first. Each goes to the split that lacks most of its classes. Groups
    of one example then fill the quotas exactly.
    """
    n_classes = int(labels.max()) + 1
    per_class = np.bincount(labels, minlength=n_classes)
    quota = np.stack([_shares(int(n), fractions, shift=c) for c, n in enumerate(per_class)]).astype(float)
    open_quota = quota.copy()
    part = np.zeros(len(labels), np.int64)
    size = np.bincount(groups)
    larger = np.flatnonzero(size > 1)
    members = np.argsort(groups, kind="stable")
    start = np.concatenate([[0], np.cumsum(size)])
    for group in larger[np.lexsort((order[larger], -size[larger]))]:
        members_of_group = members[start[group] : start[group + 1]]
        group_counts = np.bincount(labels[members_of_group], minlength=n_classes)
        present = np.flatnonzero(group_counts)
        lacking = group_counts[present] @ (open_quota[present] / np.maximum(quota[present], 1e-9))
        best = int(np.argmax(np.where(fractions > 0, lacking, -np.inf)))
        part[members_of_group] = best
        open_quota[:, best] -= group_counts
    single = np.flatnonzero(size[groups] == 1)
    for c in range(n_classes):
        members_of_group = single[labels[single] == c]
        members_of_group = members_of_group[np.argsort(order[groups[members_of_group]], kind="stable")]
        missing = np.maximum(open_quota[c], 0)
        numbers = _shares(len(members_of_group), missing / missing.sum() if missing.sum() else fractions, shift=c)
        part[members_of_group] = np.repeat(np.arange(len(fractions)), numbers)
    return part


def assign_label_sets(labels: np.ndarray, groups: np.ndarray, fractions: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Assign groups whose examples have sets of labels, by iterative stratification.

    The rarest label comes first, while there is still a choice. Each group that has it, large ones before small ones,
    goes to the split that lacks most of this label; of several such splits to the one that lacks most examples. Having
    no label counts as a label.

    Source: Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label data", ECML PKDD 2011.
    """
    size = np.bincount(groups)
    group_counts = np.zeros((len(size), labels.shape[1] + 1), np.int64)
    np.add.at(group_counts, groups, np.column_stack([labels, ~labels.any(1)]))
    n_unassigned = group_counts.sum(0)  # examples of each label that are not assigned yet
    lacking, room = np.outer(n_unassigned, fractions), len(labels) * fractions
    part = np.full(len(size), -1)
    while (unassigned := np.flatnonzero(n_unassigned > 0)).size:
        rarest = unassigned[n_unassigned[unassigned].argmin()]
        waiting = np.flatnonzero((part < 0) & (group_counts[:, rarest] > 0))
        for group in waiting[np.lexsort((order[waiting], -size[waiting]))].tolist():
            best = max(np.flatnonzero(fractions).tolist(), key=lambda p: (lacking[rarest, p].round(9), room[p], -p))
            part[group] = best
            lacking[:, best] -= group_counts[group]
            room[best] -= size[group]
            n_unassigned -= group_counts[group]
    return part[groups]


def _shares(n: int, fractions: np.ndarray, shift: int) -> np.ndarray:
    """Whole numbers near ``n * fractions`` that add up to n; each fraction above 0 gets at least 1 if n allows it.

    Args:
        n: sum of the result.
        fractions: float (splits,), their sum is 1.
        shift: where to begin among equal claims, to favour another split in each class.
    """
    exact = n * fractions
    shares = np.floor(exact + 1e-9).astype(int)
    parts = len(fractions)
    claims = sorted(range(parts), key=lambda p: (-(exact[p] - shares[p]).round(9), (-p - shift) % parts))
    for p in claims[: n - int(shares.sum())]:
        shares[p] += 1
    if n >= np.count_nonzero(fractions):
        for p in np.flatnonzero((shares == 0) & (fractions > 0)).tolist():
            shares[shares.argmax()] -= 1
            shares[p] = 1
    return shares
