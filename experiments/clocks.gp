# SPDX-License-Identifier: GPL-3.0-or-later
# Speed-up of every head over the full softmax at all positions, on four clocks; a ratio, so on a
# logarithmic axis. Points: median, and the 95 % interval where speeds were measured in rounds. Of
# the first panel, dashed: the bound of a head that costs nothing; diamonds: a head whose FLOPs run
# at the measured rate of the dense products. In the last, ≥: below the loss at its first
# evaluation.
# gnuplot -c clocks.gp DATA.csv OUTPUT svg|png|pdf          DATA: the view clocks
data = ARG1; target = ARG2; format = ARG3
set datafile separator comma columnheaders
number(s) = strlen(s) ? real(s) : NaN
array panel[4]; array cell[64]
W = 7.2
seen = 0
stats data using (seen = seen + 1, cell[(seen + 3) / 4] = strcol('label'), \
    panel[int(column('clock'))] = strcol('name'), bound = number(strcol('bound')), \
    cores = column('cores'), \
                  corpus = strcol('corpus'), cpu = strcol('cpu'), column('position')) nooutput
records = int(STATS_records)
rows = records / 4
H = 1.5 + 0.2 * rows
load 'experiments/style.gp'
stats data using (number(strcol('value'))) nooutput
low = STATS_min < 1 ? STATS_min : 1
high = STATS_max
stats data using (number(strcol('roofline'))) nooutput
high = STATS_records && STATS_max > high ? STATS_max : high
high = bound > high ? bound : high
low = low / 1.35; high = high * 1.6
y(x) = -floor(int($0) / 4)
of(clock, name) = column('clock') == clock ? number(strcol(name)) : NaN
text(x) = x == x ? sprintf('%s%.2g', strcol('at_least') eq '1' ? '≥ ' : '', x) : ''

unset key
set border 1 lc rgb dark
set tics nomirror out scale 0.5 font ',8' tc rgb black
unset ytics
set logscale x
set xtics (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
set xrange [low:high]
set yrange [-rows + 0.4:0.6]
set multiplot \
    title sprintf('Speed-up over the full softmax at all positions on %s (%s, %d cores)', corpus, \
    cpu_name(cpu), cores)
left = 0.175
each = (0.985 - left) / 4
set bmargin at screen 0.77 / H; set tmargin at screen 1 - 0.6 / H
do for [k = 1:4] {
    unset label; unset arrow
    set lmargin at screen left + (k - 1) * each + 0.008
    set rmargin at screen left + k * each - 0.008
    set title panel[k] offset 0, -0.7 font ',8'
    set arrow from first 1, graph 0 to first 1, graph 1 nohead back lc rgb dark lw 0.8
    do for [i = 0:rows - 1] { set arrow from graph 0, first -i to graph 1, first -i nohead back lc \
        rgb 0xEDEDED lw 0.6 }
    if (k == 1) {
        do for [i = 1:rows] { set label strike(cell[i], 'head=') at graph -0.03, first 1 - i right \
            font ',8' }
        set arrow from first bound, graph 0 to first bound, graph 1 nohead back lc rgb vermillion \
            lw 1 dt (6, 4)
        set label "dashed: a head that costs nothing (Amdahl)      " . \
                  "diamonds: its FLOPs at the rate of the dense products\n" . \
                  "no point: never reached      ≥: reached when first evaluated" at screen 0.02, \
                  screen 0.29 / H left font ',7' tc rgb dark
    }
    plot data using (of(k, 'low') > 0 ? of(k, 'value') : NaN):(y(0)):(of(k, 'low')):(of(k, \
        'high')) with xerrorbars pt 7 ps 0 lw 1 lc rgb blue, \
         data using (k == 1 ? of(k, 'roofline') : NaN):(y(0)) with points pt 12 ps 0.8 lw 1 lc rgb \
         vermillion, \
         data using (of(k, 'value')):(y(0)) with points pt 7 ps 0.55 lc rgb blue, \
         data using (of(k, 'value')):(y(0)):(text(of(k, 'value'))) with labels offset 0, 0.62 \
         font ',7' tc rgb black
}
unset multiplot
