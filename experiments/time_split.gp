# SPDX-License-Identifier: GPL-3.0-or-later
# Figure 1: shares of a training step, a bar per head and arithmetic; core phases in blues and
# greens, head phases in oranges.
# gnuplot -c time_split.gp DATA.csv OUTPUT svg|png|pdf          DATA: the view time_split
data = ARG1; target = ARG2; format = ARG3
set datafile separator comma columnheaders
stats data using (column('block')) nooutput
rows = int(STATS_records)
blocks = int(STATS_max) + 1
W = 7.2
H = 1.75 + 0.21 * (rows + 0.6 * blocks)
load 'experiments/style.gp'
stats data using (n = column('n'), steps = column('steps'), cores = column('cores'), \
    cpu = cpu_name(strcol('cpu')), 0) nooutput
stats data using (column('n')) nooutput
n_low = STATS_min; n_high = STATS_max

array phase[8]  = ['data', 'core_forward', 'core_backward', 'core_update', 'other', \
    'head_forward', 'head_backward', 'head_update']
array title[8]  = ['data', 'core forward', 'core backward', 'core update', 'other', \
    'head forward', 'head backward', 'head update']
array colour[8] = [dark, blue, sky, green, grey, vermillion, orange, yellow]
array ink[8]    = [0xFFFFFF, 0xFFFFFF, black, 0xFFFFFF, black, 0xFFFFFF, black, black]
start(i) = i == 1 ? 0 : start(i - 1) + column(phase[i - 1])
y(x) = -(column('bar') + 0.6 * column('block'))
seen = ''
max(a, b) = a > b ? a : b
of(l) = strstrt(l, 'head=') || strlen(l) == 0 ? strcol('arithmetic') : l[strstrt(l, '=') + 1:]     \
    # what tells the bars of a head apart
name = 0; arithmetic = 0                     \
    # the most letters of a head's name, of what stands beside it
stats data using (name = max(name, strlen(strcol('head'))), arithmetic = max(arithmetic, \
    strlen(of(strcol('label')))), 0) nooutput
left = max(31, 5.5 + 1.6 * name + 1.5 * arithmetic)
named(h) = h eq seen ? '' : (seen = h)      # the head's name at its first bar only
thick = 0.4
bottom = -(rows - 1 + 0.6 * (blocks - 1)) - 0.6

set multiplot
set lmargin at screen 0.02; set rmargin at screen 0.98
set bmargin at screen 0.52 / H; set tmargin at screen 1 - 0.33 / H
set xrange [-left:131]
set yrange [bottom:3.5]
unset key
unset ytics
set border 0
set title sprintf('Where a training step goes (%s, %d cores, n = %s per bar)', cpu, cores, \
                  n_low == n_high ? sprintf('%d run%s', n_low, n_low == 1 ? '' : 's') \
                  : sprintf('%d to %d runs', n_low, n_high)) \
    offset 0, -0.4
set xlabel 'share of the step, %      (head %: head forward + head backward)' offset 0, \
    0.6 font ',8'
set xtics 0, 20, 100 nomirror out scale 0.5 offset 0, 0.4 font ',8'
do for [x = 0:100:20] { set arrow from x, bottom to x, 0.55 nohead back lc rgb 0xDDDDDD lw 0.6 }

# the key: core above, head below
do for [i = 1:8] {
    at_x = i == 1 ? 0 : 13 + 0.15 * (left + 131) * (i < 6 ? i - 2 : i - 6)
    at_y = i < 6 ? 3.1 : 2.35
    set object rectangle from at_x, at_y - 0.25 to at_x + 2.6, at_y + 0.25 fc rgb colour[i] fs \
        solid noborder
    set label title[i] at at_x + 3.6, at_y left font ',8'
}

# what FlashLM v3 reported
set object rectangle from 0, 1.05 - thick to 14, 1.05 + thick fc rgb 0xFFFFFF fs solid border rgb \
    black
set object rectangle from 14, 1.05 - thick to 100, 1.05 + thick fc rgb 0xFFFFFF fs solid border \
    rgb black
set label 'FlashLM v3, as reported' at -1.5, 1.05 right font ',8'
set label '14 % core' at 7, 1.05 center font ',7'
set label '86 % output layer' at 57, 1.05 center font ',8'
$boundary << EOD
x,y
14,0.65
14,-1000
EOD

set label 'tokens/s' at 114, 1.05 right font ',8'
set label 'head %' at 128, 1.05 right font ',8'

plot for [i = 1:8] data using (start(i)):(y(0)):(start(i)):(start(i) + column(phase[i])):(y(0) \
    - thick):(y(0) + thick) \
         with boxxyerror fs solid 1 noborder fc rgb colour[i], \
     $boundary using 1:2 with lines lc rgb black lw 1.2 dt (6, 4), \
     for [i = 1:8] data using (start(i) + column(phase[i]) / 2):(y(0)): \
         (column(phase[i]) < 4.5 ? '' : sprintf('%.0f', column(phase[i]))) with labels font ',7' \
         tc rgb ink[i], \
     data using (-1.5):(y(0)):(of(strcol('label'))) with labels right font ',8', \
     data using (-left + 1):(y(0)):(named(strcol('head'))) with labels left font ':Bold,8', \
     data using (114):(y(0)):(sprintf('%.0f', column('tokens_per_s'))) with labels right \
     font ',8', \
     data using (128):(y(0)):(sprintf('%.0f', column('head_share'))) with labels right font ',8'
unset multiplot
