# SPDX-License-Identifier: GPL-3.0-or-later
# Tokens a second and share of the head against the size of the vocabulary: median and 95 % interval
# over the seeds (below six of them: the least and the most).
# gnuplot -c vocab.gp DATA.csv OUTPUT svg|png|pdf          DATA: the view vocab
data = ARG1; target = ARG2; format = ARG3
set datafile separator comma columnheaders
W = 7.2
H = 3.5
load 'experiments/style.gp'
array title[32]; array end_rate[32]; array end_share[32]
stats data using (column('V')) nooutput
least_V = STATS_min; most_V = STATS_max
stats data using (i = int(column('line')), title[i] = strcol('head'), column('V') == most_V \
    ? (end_rate[i] = log10(column('tokens_per_s')), \
                  end_share[i] = 100 * column('head_share')) : 0, cores = column('cores'), \
                  cpu = strcol('cpu'), column('tokens_low')) nooutput
low = STATS_min / 1.25
stats data using (column('tokens_high')) nooutput
high = STATS_max * 1.15
stats data using (column('n')) nooutput
n_low = STATS_min; n_high = STATS_max
stats data using (column('line')) nooutput
ends = int(STATS_max)
array colour[8] = [blue, vermillion, green, orange, purple, sky, black, dark]
paint(i) = colour[(int(i) - 1) % 8 + 1]

unset key
set border 3 lc rgb dark
set tics nomirror out scale 0.5 font ',8' tc rgb black
set grid ytics lc rgb 0xE4E4E4 lt 1 lw 0.6
set logscale x
set xrange [least_V / 1.15:most_V * 1.1]
set xtics ('1k' 1000, '3k' 3000, '10k' 10000, '25k' 25000, '50k' 50257) font ',8'
set xlabel 'words of the vocabulary' offset 0, 0.5 font ',8'
set errorbars small
set multiplot title sprintf('Speed and share of the head (%s, %d cores, n = %s)', cpu_name(cpu), \
    cores, \
                            n_low == n_high ? sprintf('%d', n_low) : sprintf('%d to %d', n_low, \
                            n_high))
set bmargin at screen 0.48 / H; set tmargin at screen 1 - 0.52 / H

set lmargin at screen 0.07; set rmargin at screen 0.37
set logscale y
set yrange [low:high]
set ytics (1000, 2000, 3000, 5000, 7000, 10000, 15000, 20000, 30000, 50000)
set title 'tokens a second' offset 0, -0.7 font ',8'
array end_y[ends]
do for [i = 1:ends] { end_y[i] = end_rate[i] }
gap = (log10(high) - log10(low)) * 0.14 / (H - 1.0)
load 'experiments/labels.gp'
do for [i = 1:ends] { set label i title[i] at graph 1.02, first 10 ** label_y[i] left font ',8' tc \
    rgb paint(i) }
plot for [i = 1:ends] data using (column('line') == i ? column('V') \
    : NaN):'tokens_per_s':'tokens_low':'tokens_high' \
         with yerrorbars pt 7 ps 0.4 lw 0.8 lc rgb paint(i), \
     for [i = 1:ends] data using (column('line') == i ? column('V') : NaN):'tokens_per_s' \
     with lines lw 1.5 lc rgb paint(i)

set lmargin at screen 0.555; set rmargin at screen 0.855
unset logscale y
set yrange [0:100]
set ytics 0, 20, 100
set title 'share of the step in the head, %' offset 0, -0.7 font ',8'
do for [i = 1:ends] { end_y[i] = end_share[i] }
gap = 100 * 0.14 / (H - 1.0)
load 'experiments/labels.gp'
do for [i = 1:ends] { set label i title[i] at graph 1.02, first label_y[i] left font ',8' tc rgb \
    paint(i) }
plot for [i = 1:ends] data using (column('line') == i ? column('V') : NaN):(100 \
    * column('head_share')) with linespoints pt 7 ps 0.4 lw 1.5 lc rgb paint(i)
unset multiplot
