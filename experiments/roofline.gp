# SPDX-License-Identifier: GPL-3.0-or-later
# Operations a second against operations per byte of weights read; filled points: weights from
# memory, open: from a cache.
# gnuplot -c roofline.gp DATA.csv OUTPUT svg|png|pdf          DATA: the view roofline
data = ARG1; target = ARG2; format = ARG3
set datafile separator comma columnheaders
W = 7.2; H = 4.2
load 'experiments/style.gp'
array name[32]; array top[32]; array place[32]; array done[32]
names = 0
seen = ' '
take(s) = strstrt(seen, ' '.s.' ') ? 0 : (seen = seen.s.' ', names = names + 1, name[names] = s, 0)
stats data using (column('is_peak') == 1 ? NaN : (take(strcol('label')), \
    threads = column('threads'), cpu = strcol('cpu'), column('gops'))) nooutput
y_high = STATS_max
stats data using (column('is_peak') == 1 ? NaN : column('ops_per_byte')) nooutput
x_low = 0.25; x_high = 2 * STATS_max
# roofs: 0 where this CPU has none
array probe[10] = ['int8_amx', 'int8_vnni512', 'int8_maddubs256', 'f32_fma512', 'f32_fma256', \
    'f32_fma_neon', 'read_dram', 'read_l3', 'read_l2', 'read_l1']
array rate[10]
do for [i = 1:10] {
    rate[i] = 0.0
    stats data using (column('is_peak') == 1 && strcol('label') eq probe[i] \
        ? (rate[i] = column('gops')) : 0) nooutput
}
fast = rate[1] > 0 ? rate[1] : rate[2] > 0 ? rate[2] : rate[3] > 0 ? rate[3] : rate[6]
unset key
set border 3 lc rgb dark
set tics nomirror out scale 0.5 font ',8' tc rgb black
set logscale xy
set xrange [x_low:x_high]
set yrange [1:fast * 2.2]
set lmargin at screen 0.085; set rmargin at screen 0.79; set bmargin at screen 0.46 / H; set \
    tmargin at screen 1 - 0.36 / H
set title sprintf('Roofline of the products with W 2560x2560 and 4096x4096 (%s, %d threads)', \
    cpu_name(cpu), threads) font ',9' offset 0, -0.4
set xlabel 'operations per byte of weights read (2 n per weight)' offset 0, 0.6 font ',8'
set ylabel 'GOP/s' offset 0.8, 0 font ',8'
paint(s) = strstrt(s, 'i8_') ? blue : strstrt(s, 'i2_amx') ? 0xE7298A : strstrt(s, 'i2_avx512') \
    || strstrt(s, 'i2_neon') ? vermillion : strstrt(s, 'i2_scalar') ? 0xA6761D : strstrt(s, 'i2_') \
    ? orange : strstrt(s, 't5_') ? purple \
         : strstrt(s, 'bits_') ? green : strstrt(s, 'lut_') ? sky : strstrt(s, 'sgemm_dnnl') \
         ? black : strstrt(s, 'sgemm') ? dark : grey
do for [i = 1:6] {
    if (rate[i] > 0) {
        set arrow from x_high, rate[i] to rate[i] / rate[10], rate[i] nohead lc rgb dark lw 0.8
        set label probe[i] at x_high / 1.1, rate[i] right offset 0, 0.4 font ',7' tc rgb dark
    }
}
slope = log(x_high / x_low) / log(fast * 2.2) * (H - 0.82) / (W * 0.725)
do for [i = 7:10] {
    if (rate[i] > 0) {
        x_end = fast / rate[i]
        x_begin = 1 / rate[i] > x_low ? 1 / rate[i] : x_low
        set arrow from x_begin, x_begin * rate[i] to x_end, fast nohead lc rgb dark lw 0.8 dt (5, 4)
        set label probe[i] at x_begin * 1.5, x_begin * 1.5 * rate[i] left rotate by atan(slope) \
            * 180 / pi offset -0.6, 0.5 font ',7' tc rgb dark
    }
}
do for [i = 1:names] {
    set label name[i] at screen 0.835, screen 0.88 - 0.052 * i left font ',8' tc rgb paint(name[i])
    set object circle at screen 0.82, screen 0.88 - 0.052 * i size screen 0.005 fc rgb \
        paint(name[i]) fs solid noborder
}
set label 'filled: from memory' at screen 0.815, screen 0.20 left font ',7'
set label 'open: from a cache' at screen 0.815, screen 0.16 left font ',7'
set label 'n = 1, 8, 32, 128, ...' at screen 0.815, screen 0.12 left font ',7'
plot for [i = 1:names] data using (column('is_peak') == 0 && column('cold') == 0 \
    && strcol('label') eq name[i] ? column('ops_per_byte') : NaN):'gops' \
         with points pt 6 ps 0.9 lw 0.9 lc rgb paint(name[i]), \
     for [i = 1:names] data using (column('is_peak') == 0 && column('cold') == 1 \
     && strcol('label') eq name[i] ? column('ops_per_byte') : NaN):'gops' \
         with points pt 7 ps 0.8 lc rgb paint(name[i])
