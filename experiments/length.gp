# SPDX-License-Identifier: GPL-3.0-or-later
# Training by length of the sequences: tokens a second, and the part of a step that attention, the
# recurrence or the convolution takes. A line per model, through the means of its rounds; full under
# the softmax over all words, dashed under the tree.
# gnuplot -c length.gp DATA.csv OUTPUT svg|png|pdf         DATA: the view length
data = ARG1; target = ARG2; format = ARG3
set datafile separator comma columnheaders
array name[16]
lines = 0
stats data using (line = int(column('line')), lines = line > lines ? line : lines, \
    name[line] = strcol('model'), cpu = strcol('cpu'), cores = column('cores'), \
    column('seq')) nooutput
least = STATS_min; most = STATS_max
stats data using (column('tokens_per_s') / 1000) nooutput
slowest = STATS_min; fastest = STATS_max
W = 6.6
H = 3.2
load 'experiments/style.gp'
array paint[4] = [blue, vermillion, green, black]
set border 3 lc rgb dark
set tics nomirror out scale 0.5 font ',8' tc rgb black
set grid ytics lc rgb 0xE4E4E4 lt 1 lw 0.6
set logscale x 2
set xrange [least / 1.2:most * 1.2]
set xlabel 'tokens of a sequence' offset 0, 0.4 font ',8'
set key bottom left Left reverse font ',8' samplen 1.5
set multiplot layout 1, 2 title sprintf('Cost of a longer context (%s, %d cores)', cpu_name(cpu), \
    cores) font ',9'
is(i, head, what) = int(column('line')) == i && strcol('head') eq head ? column(what) : NaN
set logscale y
set yrange [slowest / 2.5:fastest * 1.5]
set ytics (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
set label 1 'full: softmax over all words, dashed: tree' at graph 0.03, 0.96 left font ',7' \
    tc rgb dark
set ylabel 'thousand tokens a second' offset 1, 0 font ',8'
plot for [i = 1:lines] data using (is(i, 'softmax', 'seq')):(column('tokens_per_s') / 1000) \
    smooth unique with lines lw 1.4 lc rgb paint[i] title name[i], \
     for [i = 1:lines] data using (is(i, 'tree', 'seq')):(column('tokens_per_s') / 1000) \
    smooth unique with lines lw 1.4 dt 2 lc rgb paint[i] notitle
unset logscale y
unset label 1
set ytics autofreq
set yrange [0:100]
set ylabel 'percent of a step along the sequence' offset 1, 0 font ',8'
unset key
plot for [i = 1:lines] data using (is(i, 'softmax', 'seq')):'mix' smooth unique \
    with lines lw 1.4 lc rgb paint[i] notitle, \
     for [i = 1:lines] data using (is(i, 'tree', 'seq')):'mix' smooth unique \
    with lines lw 1.4 dt 2 lc rgb paint[i] notitle
unset multiplot
