/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/line.h"
#include "harness/clock.h"
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

int line_terminal(void) { return isatty(2); }

int line_due(double *said)
{
    const double now = clock_now();
    if (now - *said < (line_terminal() ? 0.5 : 10)) return 0;
    *said = now;
    return 1;
}

void line_say(const char *fmt, ...)
{
    va_list args;
    line_clear();
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    if (!line_terminal()) fputc('\n', stderr);
    fflush(stderr);
}

void line_clear(void)
{
    if (line_terminal()) fputs("\r\033[K", stderr);
}
