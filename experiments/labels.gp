# SPDX-License-Identifier: GPL-3.0-or-later
# Direct labels that do not touch: from end_y[1:ends] and the least distance `gap`, both in units of
# the axis (of its logarithm where it has one), label_y[1:ends]. Names out of order never cross;
# those with room stay where their line ends.
array label_y[ends]
array rank[ends]
do for [i = 1:ends] { rank[i] = i; label_y[i] = end_y[i] }
do for [pass = 1:ends] { do for [i = 1:ends - 1] {
    if (end_y[rank[i]] > end_y[rank[i + 1]]) { swap = rank[i]; rank[i] = rank[i + 1]; rank[i + 1] \
        = swap }
} }
do for [pass = 1:200] { do for [i = 1:ends - 1] {
    near = label_y[rank[i + 1]] - label_y[rank[i]]
    if (near < gap) { label_y[rank[i]] = label_y[rank[i]] - (gap - near) / 2; label_y[rank[i + 1]] \
        = label_y[rank[i + 1]] + (gap - near) / 2 }
} }
