# SPDX-License-Identifier: GPL-3.0-or-later
# How long a CPU takes to train a shape on 20 tokens a parameter: both axes are logarithms, a line
# per model, a point per size, labelled with the memory of training.
# gnuplot -c shapes.gp DATA.csv OUTPUT svg|png|pdf          DATA: the view shapes
data = ARG1; target = ARG2; format = ARG3
set datafile separator comma columnheaders
array name[16]
lines = 0
stats data using (line = int(column('line')), lines = line > lines ? line : lines, \
    name[line] = strcol('model'), cpu = strcol('cpu'), cores = column('cores'), \
    column('days')) nooutput
least = STATS_min; most = STATS_max
W = 5.6
H = 3.6
load 'experiments/style.gp'
array paint[4] = [blue, vermillion, green, black]
array shape[4] = [7, 5, 9, 13]
set border 3 lc rgb dark
set tics nomirror out scale 0.5 font ',8' tc rgb black
set grid ytics lc rgb 0xE4E4E4 lt 1 lw 0.6
set logscale xy
set xtics ('20M' 2e7, '50M' 5e7, '100M' 1e8, '200M' 2e8, '500M' 5e8, '1B' 1e9)
set yrange [least / 1.8:most * 2.2]
set xrange [:] noextend
set offsets graph 0.06, graph 0.14, 0, 0
set ytics ('an hour' 1.0 / 24, 'a day' 1, 'a week' 7, 'a month' 30, 'a year' 365)
set title sprintf('Training on 20 tokens a parameter (%s, %d cores)', cpu_name(cpu), cores) \
    offset 0, -0.4
set xlabel 'parameters, embedding and output layer among them' offset 0, 0.4 font ',8'
set key top left Left reverse font ',8' samplen 1.5
plot for [i = 1:lines] data using (int(column('line')) == i ? column('params') : NaN):'days' \
    with linespoints pt shape[i] ps 0.8 lw 1.4 lc rgb paint[i] title name[i], \
     data using 'params':'days':(sprintf('  %.1f GB', column('peak_mb') / 1024)) \
    with labels left font ',6.5' tc rgb dark notitle
