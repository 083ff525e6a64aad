# SPDX-License-Identifier: GPL-3.0-or-later
# Losses of models that look ahead beside those of sound ones: nats above the entropy of the text,
# a row per cell, a point per seed: open where the model is sound, full where it looks ahead. No
# language model can be left of the line.
# gnuplot -c leaks.gp DATA.csv OUTPUT svg|png|pdf          DATA: the view leaks
data = ARG1; target = ARG2; format = ARG3
set datafile separator comma columnheaders
array name[64]
rows = 0
stats data using (row = int(column('row')), rows = row > rows ? row : rows, \
    name[row] = strcol('label'), cpu = strcol('cpu'), cores = column('cores'), \
    text = strcol('split'), column('above')) nooutput
least = STATS_min < 0 ? STATS_min : 0; most = STATS_max > 0 ? STATS_max : 0
room = 0.06 * (most - least)
W = 6.2
H = 1.05 + 0.24 * rows
load 'experiments/style.gp'
set border 1 lc rgb dark
set tics nomirror out scale 0.5 font ',8' tc rgb black
unset ytics
set grid xtics lc rgb 0xE4E4E4 lt 1 lw 0.6
set xrange [least - room:most + room]
set yrange [rows + 0.6:0.4]
set lmargin at screen 0.30; set rmargin at screen 0.97
set bmargin at screen 0.70 / H; set tmargin at screen 1 - 0.36 / H
set title sprintf('Losses of models that look ahead (%s, %d cores)', cpu_name(cpu), cores) \
    offset 0, -0.4
set xlabel sprintf('nats above the entropy of the %s text', text) offset 0, 0.5 font ',8'
set key at screen 0.635, screen 0.10 / H center horizontal Left reverse font ',8' samplen 1
set arrow from 0, graph 0 to 0, graph 1 nohead lc rgb black lw 1.4 front
set object rectangle from graph 0, graph 0 to first 0, graph 1 fc rgb 0xF4E9E4 behind lw 0
do for [i = 1:rows] { set label strike(name[i], 'model=') at graph -0.02, first i right font ',8' }
is(u) = column('unsound') == u ? column('above') : NaN
plot data using (is(0)):'row' with points pt 6 ps 0.8 lw 1.4 lc rgb blue title 'sound', \
     data using (is(1)):'row' with points pt 7 ps 0.8 lc rgb vermillion title 'looks ahead'
