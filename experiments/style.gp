# SPDX-License-Identifier: GPL-3.0-or-later
# Terminal, type and colours of every figure. Before loading it a script sets target, format, and W
# and H in inches at paper width. Colours: Okabe and Ito 2008, told apart by colour-blind readers.
if (format eq 'svg') set terminal svg size 96*W, 96*H font 'DejaVu Sans,Helvetica,sans-serif,11.5' \
    linewidth 1.2 background '#ffffff'
if (format eq 'png') set terminal pngcairo size 220*W, 220*H font 'DejaVu Sans,9' fontscale 2.28 \
    linewidth 2.6
if (format eq 'pdf') set terminal pdfcairo size W in, H in font 'DejaVu Sans,9' fontscale 0.75 \
    linewidth 1.2
set output target
set encoding utf8
set termoption noenhanced
black = 0x000000; orange = 0xE69F00; sky = 0x56B4E9; green = 0x009E73; yellow = 0xF0E442; blue \
    = 0x0072B2
vermillion = 0xD55E00; purple = 0xCC79A7; grey = 0xBBBBBB; dark = 0x666666
strike(s, w) = (at = strstrt(s, w), at ? s[1:at - 1].s[at + strlen(w):] : s)
cpu_name(s) = strike(strike(strike(s, '(R)'), '(R)'), '(TM)')
