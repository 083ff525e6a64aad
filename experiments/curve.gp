# SPDX-License-Identifier: GPL-3.0-or-later
# Validation loss as training goes on, against seconds and against tokens: one line per run, one
# colour per cell.
# gnuplot -c curve.gp DATA.csv OUTPUT svg|png|pdf          DATA: the view curve
data = ARG1; target = ARG2; format = ARG3
set datafile separator comma columnheaders
number(s) = strlen(s) ? real(s) : NaN
array title[64]
stats data using (title[int(column('colour'))] = strcol('label'), \
    unigram = number(strcol('unigram')), \
                  floor_nll = number(strcol('nll_floor')), cores = column('cores'), \
                  cpu = strcol('cpu'), \
                  corpus = strcol('corpus'), column('nll')) nooutput
low = STATS_min; high = STATS_max
stats data using (column('colour')) nooutput
titles = int(STATS_max)
stats data using (column('line')) nooutput
lines = int(STATS_max)

longest = 0
do for [i = 1:titles] { longest = strlen(title[i]) > longest ? strlen(title[i]) : longest }
W = 7.2
across = int(6.6 / (0.45 + 0.075 * longest))
across = across < 1 ? 1 : across > titles ? titles : across
rows = (titles + across - 1) / across
H = 2.9 + 0.17 * rows
load 'experiments/style.gp'
unset key
array colour[8] = [blue, vermillion, green, orange, purple, sky, black, dark]
paint(i) = colour[(int(i) - 1) % 8 + 1]

top = unigram > high ? unigram : high
base = floor_nll < low ? floor_nll : low
set yrange [base - 0.06 * (top - base):top + 0.08 * (top - base)]
set border 3 lc rgb dark
set tics nomirror out scale 0.5 font ',8' tc rgb black
set xtics autofreq
set grid ytics lc rgb 0xE4E4E4 lt 1 lw 0.6
set multiplot layout 1, 2 margins screen 0.075, screen 0.97, screen 0.44 / H, \
    screen 1 - (0.45 + 0.17 * rows) / H \
    spacing screen 0.055 title sprintf('Validation loss on %s (%s, %d cores)', corpus, \
    cpu_name(cpu), cores)

do for [panel = 1:2] {
    x_name = panel == 1 ? 'seconds' : 'tokens'
    x_scale = panel == 1 ? 1.0 : 1e-6
    set xrange [0:*]
    set xlabel (panel == 1 ? 'seconds of training' : 'million tokens read') offset 0, 0.5 font ',8'
    set ylabel (panel == 1 ? 'nats per token' : '') offset 1.5, 0 font ',8'
    unset label; unset arrow
    if (panel == 1) {
        do for [i = 1:titles] {
            at_x = 0.075 + 0.91 * ((i - 1) % across) / across
            at_y = 1 - (0.40 + 0.17 * ((i - 1) / across)) / H
            set arrow from screen at_x, screen at_y to screen at_x + 0.025, screen at_y nohead lw \
                2 lc rgb paint(i)
            set label strike(title[i], 'head=') at screen at_x + 0.033, screen at_y left font ',8'
        }
    }
    if (unigram == unigram) {
        set arrow from graph 0, first unigram to graph 1, first unigram nohead lc rgb dark lw 1 dt \
            (6, 4)
        set label 'unigram entropy' at graph 0.99, first unigram right offset 0, 0.45 font ',7' tc \
            rgb dark
    }
    if (floor_nll == floor_nll) {
        set arrow from graph 0, first floor_nll to graph 1, first floor_nll nohead lc rgb dark lw \
            1 dt (2, 3)
        set label 'entropy of the true model' at graph 0.99, first floor_nll right offset 0, 0.45 \
            font ',7' tc rgb dark
    }
    plot for [i = 1:lines] data using (column('line') == i ? column(x_name) * x_scale \
        : NaN):'nll':(paint(column('colour'))) \
        with linespoints pt 7 ps 0.35 lw 1.5 lc rgb variable
}
unset multiplot
