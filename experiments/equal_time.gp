# SPDX-License-Identifier: GPL-3.0-or-later
# Validation loss against seconds of training, those that its tokens take by the experiment `speed`
# where it measured the cell: mean over the seeds, in a band from the least to the most.
# gnuplot -c equal_time.gp DATA.csv OUTPUT svg|png|pdf          DATA: the view equal_time
data = ARG1; target = ARG2; format = ARG3
W = 7.2
H = 4.0
load 'experiments/style.gp'
load 'experiments/mean_curve.gp'
set lmargin at screen 0.075; set rmargin at screen 0.80
set bmargin at screen 0.48 / H; set tmargin at screen 1 - 0.32 / H
set title sprintf('Validation loss on %s at equal time (%s, %d cores, %d seeds)', corpus, \
    cpu_name(cpu), cores, seeds) offset 0, -0.4
set xlabel (cleaned ? 'seconds that these tokens take on a quiet machine' : 'seconds of training') \
    offset 0, 0.5 font ',8'
set ylabel 'nats per token' offset 1.5, 0 font ',8'
set xrange [0:last_second]
if (unigram == unigram && unigram < top) {
    set arrow from graph 0, first unigram to graph 1, first unigram nohead lc rgb dark lw 1 dt \
        (6, 4)
    set label 'unigram entropy' at graph 0.99, first unigram right offset 0, 0.45 font ',7' tc rgb \
        dark
}
do for [i = 1:ends] { set label title[i].(i > 8 ? ' (dashed)' : '') at graph 1.015, \
    first label_y[i] left font ',8' tc rgb paint(i) }
plot for [i = 1:ends] data using (column('line') == i ? clean(0) : NaN):'low':'high' \
    with filledcurves fc rgb paint(i), \
     for [i = 1:ends] data using (column('line') == i ? clean(0) : NaN):'nll' with linespoints pt \
     7 ps 0.3 lw 1.5 dt dash(i) lc rgb paint(i)
