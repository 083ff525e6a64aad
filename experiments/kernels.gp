# SPDX-License-Identifier: GPL-3.0-or-later
# Throughput of the ternary product against the batch rows n, beside dense products and the
# machine's peaks.
# gnuplot -c kernels.gp DATA.csv OUTPUT svg|png|pdf          DATA: the view kernels
data = ARG1; target = ARG2; format = ARG3
set datafile separator comma columnheaders
stats data using (column('is_peak') == 1 ? NaN : (threads = column('threads'), \
    cpu = strcol('cpu'), column('line'))) nooutput
lines = int(STATS_max)
stats data using (column('is_peak') == 1 ? NaN : column('n')) nooutput
n_low = STATS_min; n_high = STATS_max
stats data using (column('is_peak') == 1 ? NaN : column('rounds')) nooutput
rounds = int(STATS_min)
stats data using 'gops' nooutput
y_low = STATS_min; y_high = STATS_max
W = 7.2; H = 3.9
load 'experiments/style.gp'
unset key
paint(s) = strstrt(s, 'i8_') ? blue : strstrt(s, 'i2_amx') ? 0xE7298A : strstrt(s, 'i2_avx512') \
    || strstrt(s, 'i2_neon_dot') ? vermillion : strstrt(s, 'i2_scalar') ? 0xA6761D \
    : strstrt(s, 'i2_') ? orange : strstrt(s, 't5_') ? purple \
         : strstrt(s, 'bits_') ? green : strstrt(s, 'lut_') ? sky : strstrt(s, 'u8s8') ? blue \
         : strstrt(s, 'sgemm') ? black : dark
dashed(s) = strstrt(s, 'openblas') || strstrt(s, 'scalar') || strstrt(s, 'avx2') ? 2 : 1
set border 3 lc rgb dark
set tics nomirror out scale 0.5 font ',8' tc rgb black
set logscale xy
set grid ytics lc rgb 0xE4E4E4 lt 1 lw 0.6
set multiplot layout 1, 2 margins screen 0.085, screen 0.99, screen 0.46 / H, screen 1 - 0.62 / H \
    spacing screen 0.06 \
    title sprintf('Throughput of ternary and dense products '. \
    '(%s, %d threads; medians of %d rounds, 95%% intervals)', \
                  cpu_name(cpu), threads, rounds) font ',8.5'
set yrange [y_low / 1.4:y_high * 1.5]
set xtics (1, 8, 32, 128, 512, 2048)
do for [p = 1:2] {
    array name[64]; array end_y[64]; array label_y[64]; array done[64]
    do for [i = 1:lines] { name[i] = ''; end_y[i] = 0; done[i] = 0 }
    stats data using (column('is_peak') == 1 || column('panel') != p ? NaN \
        : (shape = strcol('shape'), name[int(column('line'))] = strcol('label'), \
        end_y[int(column('line'))] = column('gops'), column('gops'))) nooutput
    # labels from the top down, pushed apart
    gap = (2.1 * y_high / y_low) ** 0.042      # the height of a label
    above = y_high * 1.5
    do for [k = 1:lines] {
        best = 0
        do for [i = 1:lines] { if (strlen(name[i]) && !done[i]) \
            { if (best == 0 || end_y[i] > (best ? end_y[best] : 0)) { best = i } } }
        if (best) {
            done[best] = 1
            label_y[best] = end_y[best] < above / gap ? end_y[best] : above / gap
            above = label_y[best]
        }
    }
    unset label; unset arrow
    set title sprintf('W %s', shape) offset 0, -0.6 font ',8'
    set xrange [n_low / 4.5:n_high * 26]
    set xlabel 'batch rows n (1: decoding; 512: training)' offset 0, 0.6 font ',8'
    set ylabel (p == 1 ? 'GOP/s (dotted: peaks)' : '') offset 0.8, 0 font ',8'
    do for [i = 1:lines] { if (strlen(name[i])) { set label name[i] at n_high * 1.3, \
        label_y[i] left font ',6.5' tc rgb paint(name[i]) } }
    plot data using (column('is_peak') == 1 && column('panel') == p ? n_low / 4.5 \
        : NaN):'gops':(n_high * 26 - n_low / 4.5):(0) with vectors nohead lc rgb grey dt (5, 4) lw \
        1, \
         data using (column('is_peak') == 1 && column('panel') == p ? n_low / 4.2 \
         : NaN):'gops':(strcol('label')) with labels left offset 0, 0.35 font ',6' tc rgb dark, \
         data using (column('is_peak') == 0 && column('panel') == p ? column('n') \
         : NaN):'gops':'gops_low':'gops_high' with yerrorbars pt 7 ps 0 lw 0.8 lc rgb dark, \
         for [i = 1:lines] data using (column('is_peak') == 0 && column('panel') == p \
         && column('line') == i ? column('n') : NaN):'gops' \
             with linespoints pt 7 ps 0.3 lw 1.4 lc rgb paint(name[i]) dt dashed(name[i])
}
unset multiplot
