# SPDX-License-Identifier: GPL-3.0-or-later
# What activation bits cost and what they are worth: throughput of the bit-sliced kernel; loss above
# float activations.
# gnuplot -c act_bits.gp DATA.csv OUTPUT svg|png|pdf          DATA: the view act_bits
data = ARG1; target = ARG2; format = ARG3
set datafile separator comma columnheaders
W = 7.2; H = 3.1
load 'experiments/style.gp'
stats data using (strcol('kind') eq 'loss' ? (cpu = strcol('cpu'), cores = column('cores'), \
    tokens = column('tokens'), column('seed')) : NaN) nooutput
seeds = int(STATS_max - STATS_min + 1)
array name[8]
names = 0
seen = '|'
take(s) = strstrt(seen, '|'.s.'|') ? 0 : (seen = seen.s.'|', names = names + 1, name[names] = s, 0)
stats data using (strcol('kind') eq 'cost' ? take(strcol('label')) : NaN) nooutput
unset key
set border 3 lc rgb dark
set tics nomirror out scale 0.5 font ',8' tc rgb black
set grid ytics lc rgb 0xE4E4E4 lt 1 lw 0.6
set multiplot layout 1, 2 margins screen 0.085, screen 0.975, screen 0.46 / H, screen 1 - 0.55 / H \
    spacing screen 0.10 \
    title sprintf('Activation bits: what they cost and what they are worth (%s, %d cores)', \
    cpu_name(cpu), cores) font ',9'
set xrange [0.6:8.6]
set xtics 1, 1, 8
set xlabel 'bits of an activation' offset 0, 0.6 font ',8'
array colour[4] = [green, blue, orange, purple]
set title 'a product: cost' offset 0, -0.6 font ',8'
set ylabel 'GOP/s' offset 1, 0 font ',8'
set yrange [0:*]
do for [i = 1:names] { set label name[i] at graph 0.97, graph (0.98 - 0.07 * i) right font ',7' tc \
    rgb colour[i] }
plot for [i = 1:names] data using (strcol('label') eq name[i] ? column('bits') \
    : NaN):'value':'low':'high' with yerrorbars pt 7 ps 0 lc rgb colour[i], \
     for [i = 1:names] data using (strcol('label') eq name[i] ? column('bits') : NaN):'value' \
     with linespoints pt 7 ps 0.7 lw 1.4 lc rgb colour[i]
unset label
set title sprintf('a model: loss above float (%d seeds, %.1f M tokens)', seeds, tokens / 1e6) \
    offset 0, -0.6 font ',8'
set ylabel 'nats per token' offset 1, 0 font ',8'
set yrange [*:*]
set arrow from 0.6, 0 to 8.6, 0 nohead lc rgb dark lw 0.8
plot data using (strcol('kind') eq 'loss' ? column('bits') + 0.08 * (column('seed') - 2) \
    : NaN):'value' with points pt 6 ps 0.8 lc rgb vermillion, \
     data using (strcol('kind') eq 'loss' ? column('bits') : NaN):'value' smooth unique with lines \
     lw 1.4 lc rgb vermillion
unset multiplot
