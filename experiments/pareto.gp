# SPDX-License-Identifier: GPL-3.0-or-later
# What a head costs in loss against what it gives in speed: a point per cell, means and least to
# most over the seeds upwards, median and 95 % interval of its speed across; the line joins the
# cells that no other beats in both.
# gnuplot -c pareto.gp DATA.csv OUTPUT svg|png|pdf          DATA: the view pareto
data = ARG1; target = ARG2; format = ARG3
set datafile separator comma columnheaders
W = 7.2
H = 3.8
load 'experiments/style.gp'
array title[64]; array speed[64]; array loss[64]; array order[64]
ends = 0
stats data using (ends = ends + 1, title[ends] = strike(strcol('label'), 'head='), \
    speed[ends] = column('tokens_per_s'), \
                  loss[ends] = column('nll'), n = column('n'), corpus = strcol('corpus'), \
                  cores = column('cores'), \
                  cpu = strcol('cpu'), column('nll_low')) nooutput
least = STATS_min
stats data using (column('tokens') / 1e6) nooutput
budget = STATS_max < 1.01 * STATS_min ? sprintf('%.1f million tokens', STATS_max) : 'equal time'
stats data using (column('nll_high')) nooutput
most = STATS_max
stats data using (column('tokens_low')) nooutput
slowest = STATS_min
stats data using (column('tokens_high')) nooutput
fastest = STATS_max
bottom = least - 0.08 * (most - least); top = most + 0.08 * (most - least)
unset key
set border 3 lc rgb dark
set tics nomirror out scale 0.5 font ',8' tc rgb black
set lmargin at screen 0.085; set rmargin at screen 0.82
set bmargin at screen 0.48 / H; set tmargin at screen 1 - 0.32 / H
set logscale x
set xrange [slowest / 1.2:fastest * 1.1]
set yrange [bottom:top]
set xtics (500, 1000, 2000, 3000, 5000, 7000, 10000, 12000, 14000, 16000, 20000, 30000, 50000)
set title sprintf('Loss on %s after %s, and speed (%s, %d cores, %d seeds)', corpus, budget, \
    cpu_name(cpu), cores, n) offset 0, -0.4
set xlabel 'tokens read a second      (better: to the right and down)' offset 0, 0.5 font ',8'
set ylabel 'nats per token' offset 1.5, 0 font ',8'

# from the fastest to the slowest, those better than all faster ones are on the front
do for [i = 1:ends] { order[i] = i }
do for [pass = 1:ends] { do for [i = 1:ends - 1] {
    if (speed[order[i]] < speed[order[i + 1]]) { swap = order[i]; order[i] = order[i + 1]; \
        order[i + 1] = swap }
} }
set print $front
print 'x,y'
best = top
do for [i = 1:ends] { k = order[i]; if (loss[k] < best) { best = loss[k]; print sprintf('%g,%g', \
    speed[k], loss[k]) } }
unset print
is_front(k) = (sum [j = 1:ends] (speed[j] > speed[k] && loss[j] <= loss[k])) == 0
array end_y[ends]
do for [i = 1:ends] { end_y[i] = loss[i] }
gap = (top - bottom) * 0.15 / (H - 0.8)
load 'experiments/labels.gp'
do for [k = 1:ends] {
    set arrow from first speed[k], first loss[k] to graph 1.012, first label_y[k] nohead back lc \
        rgb 0xD0D0D0 lw 0.6
    set label title[k] at graph 1.018, first label_y[k] left font ',8' tc rgb (is_front(k) ? blue \
        : dark)
}
plot $front using 1:2 with lines lw 1.2 dt (6, 4) lc rgb sky, \
     data using \
     'tokens_per_s':'nll':'tokens_low':'tokens_high':'nll_low':'nll_high':(is_front(int($0) + 1) \
     ? blue : dark) \
         with xyerrorbars pt 7 ps 0 lw 1 lc rgb variable, \
     data using 'tokens_per_s':'nll':(is_front(int($0) + 1) ? blue : dark) with points pt 7 ps 0.6 \
     lc rgb variable
