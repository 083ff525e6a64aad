# SPDX-License-Identifier: GPL-3.0-or-later
# Validation loss against tokens read, and against the seconds that these tokens take by the
# experiment `speed`, measured apart on a quiet machine (bars: its 95 % interval): mean over the
# seeds, in a band from the least to the most.
# gnuplot -c equal_tokens.gp DATA.csv OUTPUT svg|png|pdf          DATA: the view equal_tokens
data = ARG1; target = ARG2; format = ARG3
W = 7.2
H = 3.6
load 'experiments/style.gp'
load 'experiments/mean_curve.gp'
panels = cleaned ? 2 : 1
set multiplot layout 1, panels margins screen 0.075, screen 0.815, screen 0.48 / H, \
    screen 1 - 0.36 / H spacing screen 0.05 \
    title sprintf('Validation loss on %s at equal tokens (%s, %d cores, %d seeds)', corpus, \
    cpu_name(cpu), cores, seeds)
do for [panel = 1:panels] {
    unset label; unset arrow
    set ylabel (panel == 1 ? 'nats per token' : '') offset 1.5, 0 font ',8'
    set xlabel (panel == 1 ? 'million tokens read' \
        : 'seconds for so many tokens, on a quiet machine') offset 0, 0.5 font ',8'
    set xrange [*:*]
    if (panel == 1) { set xrange [0:last_token] } else { set logscale x }
    if (unigram == unigram && unigram < top) {
        set arrow from graph 0, first unigram to graph 1, first unigram nohead lc rgb dark lw 1 dt \
            (6, 4)
        set label 'unigram entropy' at graph 0.99, first unigram right offset 0, 0.45 font ',7' tc \
            rgb dark
    }
    if (panel == panels) {
        do for [i = 1:ends] { set label title[i].(i > 8 ? ' (dashed)' : '') at screen 0.825, \
            first label_y[i] left font ',8' tc rgb paint(i) }
    }
    x_of(c) = panel == 1 ? column('tokens') / 1e6 : number(strcol('clean_seconds'))
    bar(i, name) = column('line') == i && panel == 2 ? number(strcol(name)) : NaN
    plot for [i = 1:ends] data using (column('line') == i ? x_of(0) : NaN):'low':'high' \
        with filledcurves fc rgb paint(i), \
         for [i = 1:ends] data using (bar(i, 'clean_seconds')):'nll':(bar(i, 'clean_low')):(bar(i, \
         'clean_high')) \
             with xerrorbars pt 7 ps 0 lw 0.8 lc rgb paint(i), \
         for [i = 1:ends] data using (column('line') == i ? x_of(0) : NaN):'nll' with linespoints \
         pt 7 ps 0.3 lw 1.5 dt dash(i) lc rgb paint(i)
    unset logscale x
}
unset multiplot
