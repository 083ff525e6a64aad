# SPDX-License-Identifier: GPL-3.0-or-later
# Loss of heads refitted on the same hidden states: by frequency of the word (left), and of all
# words the part of the first level, a class or a cluster, and the part within it (right). Grey:
# what unigrams and bigrams of the training text reach.
# gnuplot -c anatomy.gp DATA.csv OUTPUT svg|png|pdf          DATA: the view anatomy
data = ARG1; target = ARG2; format = ARG3
set datafile separator comma columnheaders
number(s) = strlen(s) ? real(s) : NaN
array title[64]; array end_y[64]; array anchor[64]; array all[64]; array class[64]
stats data using (i = int(column('line')), title[i] = strcol('label'), \
    anchor[i] = int(column('anchor')), column('decile') == 10 ? (end_y[i] = column('nll')) : 0, \
                  column('decile') == 0 ? (all[i] = column('nll'), \
                  class[i] = number(strcol('class_nll'))) : 0, cores = column('cores'), \
                  cpu = strcol('cpu'), corpus = strcol('corpus'), column('nll')) nooutput
low = STATS_min; high = STATS_max
stats data using (column('line')) nooutput
ends = int(STATS_max)
W = 7.2
H = 1.1 + 0.235 * ends
H = H < 3.6 ? 3.6 : H
load 'experiments/style.gp'
array colour[8] = [blue, vermillion, green, orange, purple, sky, black, yellow]
paint(i) = anchor[i] ? dark : colour[(int(i) - 1) % 8 + 1]
dash(i) = anchor[i] || i > 8 ? 2 : 1
bottom = low - 0.06 * (high - low); top = high + 0.04 * (high - low)
gap = (top - bottom) * 0.15 / (H - 0.95)
unset key
set border 3 lc rgb dark
set tics nomirror out scale 0.5 font ',8' tc rgb black
set multiplot title sprintf('Heads on the same hidden states, %s (%s, %d cores)', corpus, \
    cpu_name(cpu), cores)
set bmargin at screen 0.48 / H; set tmargin at screen 1 - 0.55 / H

set lmargin at screen 0.06; set rmargin at screen 0.355
set title 'nats per token by frequency' offset 0, -0.7 font ',8'
set xlabel 'tenths of the tokens, frequent words first' offset 0, 0.5 font ',8'
set grid ytics lc rgb 0xE4E4E4 lt 1 lw 0.6
set xrange [0.7:10.3]
set xtics 1, 1, 10
set yrange [bottom:top]
load 'experiments/labels.gp'
do for [i = 1:ends] {
    set arrow from first 10, first end_y[i] to graph 1.02, first label_y[i] nohead lc rgb paint(i) \
        lw 0.5
    set label strike(title[i], 'assign=') at graph 1.03, first label_y[i] left font ',7' tc rgb \
        paint(i)
}
plot for [i = 1:ends] data using (column('line') == i && column('decile') > 0 ? column('decile') \
    : NaN):'nll' \
     with linespoints pt 7 ps 0.35 lw 1.4 dt dash(i) lc rgb paint(i)

unset label; unset arrow; unset grid
set lmargin at screen 0.67; set rmargin at screen 0.985
unset ytics
set border 1
set title 'of all words' offset 0, -0.7 font ',8'
set xlabel 'nats per token' offset 0, 0.5 font ',8'
most = 0
do for [i = 1:ends] { most = all[i] > most ? all[i] : most }
set xrange [0:most * 1.13]
set xtics autofreq
set yrange [-ends - 0.4:0.9]
thick = 0.34
box(from, to, i, paint) = sprintf('set object rectangle '. \
    'from first %g, first %g to first %g, first %g fc rgb %d fs solid noborder', \
    from, -i - thick, to, -i + thick, paint)
do for [i = 1:ends] {
    split = class[i] == class[i] ? class[i] : 0
    if (split > 0) { eval box(0, split, i, blue); set label sprintf('%.2f', split) at first split \
        / 2, first -i center front font ',7' tc rgb 0xFFFFFF }
    eval box(split, all[i], i, anchor[i] ? grey : split > 0 ? orange : sky)
    if (split > 0) { set label sprintf('%.2f', all[i] - split) at first (split + all[i]) / 2, \
        first -i center front font ',7' tc rgb black }
    set label sprintf('%.3f', all[i]) at first all[i] + 0.015 * most, first -i left font ',7'
    set label strike(title[i], 'assign=') at graph -0.015, first -i right font ',7' tc rgb paint(i)
}
set object rectangle from graph 0.0, graph 0.955 to graph 0.025, graph 0.985 fc rgb blue fs solid \
    noborder
set label 'class' at graph 0.035, graph 0.97 left font ',7'
set object rectangle from graph 0.2, graph 0.955 to graph 0.225, graph 0.985 fc rgb orange fs \
    solid noborder
set label 'word within it' at graph 0.235, graph 0.97 left font ',7'
set object rectangle from graph 0.6, graph 0.955 to graph 0.625, graph 0.985 fc rgb sky fs solid \
    noborder
set label 'no levels' at graph 0.635, graph 0.97 left font ',7'
plot NaN
unset multiplot
