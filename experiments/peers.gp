# SPDX-License-Identifier: GPL-3.0-or-later
# Tokens a second of every engine: groups of bars, a group per task (the levels of the factors but
# the engine), a bar per engine, medians with their intervals. Engines have a colour each, from dark
# to light so that grey shows them too, and their names at the ends of the bars.
# gnuplot -c peers.gp DATA.csv OUTPUT svg|png|pdf          DATA: the view peers
data = ARG1; target = ARG2; format = ARG3
set datafile separator comma columnheaders
array task[64]
engines = 0; tasks = 0
stats data using (line = int(column('line')), \
    engines = line > engines ? line : engines, place = int(column('place')), \
    task[place] = strcol('task'), tasks = place > tasks ? place : tasks, n = column('n'), \
    cpu = strcol('cpu'), cores = column('cores'), column('tokens_high')) nooutput
most = STATS_max
W = 7.2
H = 0.9 + tasks * (0.14 * engines + 0.16)
load 'experiments/style.gp'
array paint[8] = [0x333333, blue, vermillion, sky, yellow, green, purple, orange]
colour(i) = paint[1 + (i - 1) % 8]
thick = 0.8 / engines
y(place, line) = -(place - 1) - (line - 0.5 - engines / 2.0) * thick
unset key
set border 1 lc rgb dark
set tics nomirror out scale 0.5 font ',8' tc rgb black
set grid xtics lc rgb 0xE4E4E4 lt 1 lw 0.6
unset ytics
set xrange [0:most * 1.02]
set yrange [-tasks + 0.45:0.55]
set lmargin at screen 0.23; set rmargin at screen 0.80
set bmargin at screen 0.48 / H; set tmargin at screen 1 - 0.34 / H
set title sprintf('Training speed of FlashLM v3 by engine (%s, %d cores, n = %d)', cpu_name(cpu), \
    cores, n) offset 0, -0.4
set xlabel 'tokens a second' offset 0, 0.5 font ',8'
do for [i = 1:tasks] { set label strike(task[i], 'head=') at graph -0.012, first 1 - i right font \
    ',8' }
plot data using (column('tokens_per_s') / 2):(y(column('place'), column('line'))): \
    (column('tokens_per_s') / 2):(thick * 0.44):(colour(int(column('line')))) \
    with boxxyerror fs solid 1 noborder fc rgb variable, \
     data using 'tokens_per_s':(y(column('place'), column('line'))):'tokens_low':'tokens_high' \
    with xerrorbars pt 7 ps 0 lw 1 lc rgb black, \
     data using 'tokens_high':(y(column('place'), column('line'))): \
    (sprintf(' %s', strcol('engine'))) with labels left font ',6.5' tc rgb dark
