# SPDX-License-Identifier: GPL-3.0-or-later
# What a model loses on copied tokens beyond what their language does, by how far back the original
# stands: a point per seed, a line through the means of each model.
# gnuplot -c context.gp DATA.csv OUTPUT svg|png|pdf          DATA: the view context
data = ARG1; target = ARG2; format = ARG3
set datafile separator comma columnheaders
array name[64]
lines = 0
stats data using (line = int(column('line')), lines = line > lines ? line : lines, \
    name[line] = strcol('label'), cpu = strcol('cpu'), cores = column('cores'), \
    column('above')) nooutput
most = STATS_max
stats data using 'lag' nooutput
W = 5.6
H = 3.4
load 'experiments/style.gp'
array paint[6] = [blue, vermillion, green, black, purple, sky]
array shape[6] = [7, 5, 9, 13, 4, 6]
set border 3 lc rgb dark
set tics nomirror out scale 0.5 font ',8' tc rgb black
set grid ytics lc rgb 0xE4E4E4 lt 1 lw 0.6
set logscale x
set xrange [STATS_min / 1.25:STATS_max * 1.25]
set yrange [0:most * 1.08]
set xtics (17, 61, 130, 209, 260)
set title sprintf('Loss on copied tokens (%s, %d cores)', cpu_name(cpu), cores) offset 0, -0.4
set xlabel 'tokens between a copy and its original' offset 0, 0.4 font ',8'
set ylabel 'nats above the law of the language' offset 1, 0 font ',8'
set key outside right top Left reverse font ',8' samplen 1.5
is(i, what) = int(column('line')) == i ? column(what) : NaN
plot for [i = 1:lines] data using (is(i, 'lag')):'above' smooth unique \
    with lines lw 1.4 lc rgb paint[(i - 1) % 6 + 1] notitle, \
     for [i = 1:lines] data using (is(i, 'lag')):'above' with points \
    pt shape[(i - 1) % 6 + 1] ps 0.7 lw 1.2 lc rgb paint[(i - 1) % 6 + 1] \
    title strike(name[i], 'model=')
