# SPDX-License-Identifier: GPL-3.0-or-later
# Shared by equal_time and equal_tokens: reads the view mean_curve and draws one panel of losses, a
# line per cell, the mean over its seeds in a band from the least to the most, labelled at its end.
set datafile separator comma columnheaders
number(s) = strlen(s) ? real(s) : NaN
array title[64]; array end_y[64]; array end_at[64]
cleaned = 0
stats data using (i = int(column('line')), title[i] = strike(strcol('label'), 'head='), \
    end_y[i] = column('nll'), unigram = number(strcol('unigram')), \
                  floor_nll = number(strcol('nll_floor')), cores = column('cores'), \
                  cpu = strcol('cpu'), corpus = strcol('corpus'), \
                  cleaned = cleaned + (strlen(strcol('clean_seconds')) > 0), column('low')) nooutput
least = STATS_min
stats data using (column('n')) nooutput
seeds = int(STATS_max)
stats data using (column('line')) nooutput
ends = int(STATS_max)
stats data using (column('evaluation')) nooutput
seen = STATS_max >= 8 ? 2 : 1         \
    # of many evaluations the first, high above all others, is out of sight
stats data using (column('evaluation') >= seen ? column('high') : NaN) nooutput
most = STATS_max
array colour[8] = [blue, vermillion, green, orange, purple, sky, black, dark]
paint(i) = colour[(int(i) - 1) % 8 + 1]
dash(i) = i > 8 ? 2 : 1               # colours come round once
bottom = least - 0.08 * (most - least)
top = most + 0.04 * (most - least)
clean(c) = strlen(strcol('clean_seconds')) ? column('clean_seconds') : column('seconds')
stats data using (clean(0)) nooutput
last_second = STATS_max
stats data using (column('tokens') / 1e6) nooutput
last_token = STATS_max
unset key
set yrange [bottom:top]
set border 3 lc rgb dark
set tics nomirror out scale 0.5 font ',8' tc rgb black
set grid ytics lc rgb 0xE4E4E4 lt 1 lw 0.6
set style fill transparent solid 0.18 noborder
gap = (top - bottom) * 0.14 / (H - 0.9)
load 'experiments/labels.gp'
