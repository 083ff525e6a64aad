# SPDX-License-Identifier: GPL-3.0-or-later
# What the rounds of one run took, over the median of the run: two products, and the ratio of the
# two in the same round.
# gnuplot -c rounds.gp DATA.csv OUTPUT svg|png|pdf          DATA: the view rounds
data = ARG1; target = ARG2; format = ARG3
set datafile separator comma columnheaders
W = 7.2; H = 2.6
load 'experiments/style.gp'
stats data using (n = int(column('n')), threads = column('threads'), cores = column('cores'), \
    cpu = strcol('cpu'), cell = strcol('cell'), column('relative')) nooutput
low = STATS_min; high = STATS_max
low = low > 0.97 ? 0.97 : low; high = high < 1.03 ? 1.03 : high
array title[3] = ['ternary', 'dense', 'their ratio']
array colour[3] = [vermillion, black, blue]
array end_y[3]
stats data using (column('round') == n - 1 ? (end_y[int(column('line'))] = column('relative')) \
    : 0) nooutput
ends = 3
unset key
set border 3 lc rgb dark
set tics nomirror out scale 0.5 font ',8' tc rgb black
set grid ytics lc rgb 0xE4E4E4 lt 1 lw 0.6
set logscale y
set yrange [low / 1.02:high * 1.02]
set ytics (0.5, 0.6, 0.7, 0.8, 0.9, '0.95' 0.95, 1, '1.05' 1.05, '1.1' 1.1, '1.2' 1.2, '1.3' 1.3, \
    1.5, 2, 3, 5)
set xrange [0.5:n + 0.5]
set xtics 1, 1
gap = (high - low) * 1.02 * 0.14 / (H - 0.8)
load 'experiments/labels.gp'
set lmargin at screen 0.085; set rmargin at screen 0.88
set bmargin at screen 0.48 / H; set tmargin at screen 1 - 0.32 / H
set title sprintf('Rounds of one run of %s (%s, %d cores, %d threads, n = %d rounds)', cell, \
    cpu_name(cpu), cores, threads, n) offset 0, -0.4
set xlabel 'round' offset 0, 0.5 font ',8'
set ylabel 'over the median' offset 1.2, 0 font ',8'
do for [i = 1:3] { set label title[i] at graph 1.012, first label_y[i] left font ',8' tc rgb \
    colour[i] }
plot for [i = 1:3] data using (column('line') == i ? column('round') + 1 : NaN):'relative' \
    with linespoints pt 7 ps 0.45 lw 1.4 lc rgb colour[i]
