/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/util/progress.h"
#include "harness/util/clock.h"
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

int progress_terminal(void) { return isatty(2); }

int progress_due(double *said)
{
    const double now = clock_now();
    if (now - *said < (progress_terminal() ? 0.5 : 10)) return 0;
    *said = now;
    return 1;
}

void progress_say(const char *fmt, ...)
{
    va_list args;
    progress_clear();
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    if (!progress_terminal()) fputc('\n', stderr);
    fflush(stderr);
}

void progress_clear(void)
{
    if (progress_terminal()) fputs("\r\033[K", stderr);
}
