# SPDX-License-Identifier: GPL-3.0-or-later
# What was measured over what was claimed, on a logarithmic axis: points with their intervals; grey:
# what holds a claim. At the left edge: nothing, or the other direction.
# gnuplot -c claim_ratio.gp DATA.csv OUTPUT svg|png|pdf          DATA: the view claim_ratio
data = ARG1; target = ARG2; format = ARG3
set datafile separator comma columnheaders
number(s) = strlen(s) ? real(s) : NaN
array name[128]; array verdict[128]
names = 0
stats data using (names = names + 1, name[names] = strcol('label'), verdict[names] \
    = strcol('verdict'), column('ratio')) nooutput
rows = int(STATS_records)
W = 7.2
H = 1.0 + 0.19 * rows
load 'experiments/style.gp'
left = 0.01; right = 20
clip(x) = x < left ? left : x > right ? right : x
y(x) = -int($0)
paint(s) = s eq 'held' ? blue : s eq 'weakened' ? orange : vermillion
below(s) = strlen(s) ? clip(real(s)) : left
above(s) = strlen(s) ? clip(real(s)) : right
unset key
set border 1 lc rgb dark
set tics nomirror out scale 0.5 font ',8' tc rgb black
unset ytics
set logscale x
set xrange [left:right]
set xtics (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20)
set yrange [-rows + 0.4:0.6]
set lmargin at screen 0.24; set rmargin at screen 0.89
set bmargin at screen 0.48 / H; set tmargin at screen 1 - 0.34 / H
set title 'Measured over claimed' offset 0, -0.4
set xlabel 'measured / claimed      (grey: holds the claim)' offset 0, 0.5 font ',8'
set arrow from 1, graph 0 to 1, graph 1 nohead back lc rgb dark lw 0.8
do for [i = 1:rows] {
    set label name[i] at graph -0.012, first 1 - i right font ',8'
    set label verdict[i] at graph 1.012, first 1 - i left font ',8' tc rgb paint(verdict[i])
}
plot data using (left):(y(0)):(below(strcol('least'))):(above(strcol('most'))):(y(0) - 0.34):(y(0) \
    + 0.34) with boxxyerror fs solid 1 noborder fc rgb 0xE4E4E4, \
     data using (clip(column('ratio'))):(y(0)):(clip(column('ratio_low'))): \
     (clip(column('ratio_high'))):(paint(strcol('verdict'))) with xerrorbars pt 7 ps 0 lw 1.2 lc \
     rgb variable, \
     data using (clip(column('ratio'))):(y(0)):(paint(strcol('verdict'))) with points pt 7 ps 0.6 \
     lc rgb variable
