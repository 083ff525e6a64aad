# SPDX-License-Identifier: GPL-3.0-or-later
# Training with fused and with naive BitLinears by size of the batch: speed, and memory. A point per
# round, lines through the means.
# gnuplot -c bitlinear.gp DATA.csv OUTPUT svg|png|pdf      DATA: the view bitlinear
data = ARG1; target = ARG2; format = ARG3
set datafile separator comma columnheaders
stats data using (cpu = strcol('cpu'), cores = column('cores'), column('batch')) nooutput
least = STATS_min; most = STATS_max
stats data using (column('tokens_per_s') / 1000) nooutput
fastest = STATS_max
stats data using (column('peak_mb') / 1024) nooutput
largest = STATS_max
W = 6.4
H = 3.0
load 'experiments/style.gp'
array paint[2] = [blue, vermillion]
array shape[2] = [7, 5]
array name[2] = ['fused', 'naive']
set border 3 lc rgb dark
set tics nomirror out scale 0.5 font ',8' tc rgb black
set grid ytics lc rgb 0xE4E4E4 lt 1 lw 0.6
set logscale x 2
set xrange [least / 1.3:most * 1.3]
set xlabel 'sequences of a step' offset 0, 0.4 font ',8'
set key top left Left reverse font ',8' samplen 1.5
set multiplot layout 1, 2 title sprintf('BitLinear, fused and naive (%s, %d cores)', \
    cpu_name(cpu), cores) font ',9'
is(i, what) = int(column('line')) == i ? column(what) : NaN
set yrange [0:fastest * 1.25]
set ylabel 'thousand tokens a second' offset 1, 0 font ',8'
plot for [i = 1:2] data using (is(i, 'batch')):(column('tokens_per_s') / 1000) smooth unique \
    with lines lw 1.4 lc rgb paint[i] notitle, \
     for [i = 1:2] data using (is(i, 'batch')):(column('tokens_per_s') / 1000) with points \
    pt shape[i] ps 0.6 lc rgb paint[i] title name[i]
set yrange [0:largest * 1.1]
set ylabel 'GB at the peak' offset 1, 0 font ',8'
plot for [i = 1:2] data using (is(i, 'batch')):(column('peak_mb') / 1024) smooth unique \
    with lines lw 1.4 lc rgb paint[i] notitle, \
     for [i = 1:2] data using (is(i, 'batch')):(column('peak_mb') / 1024) with points \
    pt shape[i] ps 0.6 lc rgb paint[i] title name[i]
unset multiplot
