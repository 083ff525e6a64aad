/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A cell of a bench as a row of the table or one line of JSON. */
#include "harness/bench/bench.h"
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

double bench_percent(const BenchCell *c)
{
    return c->limit_ns > 0 && !c->reads ? 100 * c->limit_ns / c->time.median : NAN;
}

static const char *bench_human(char *out, size_t size, double ns)
{
    if (ns < 1e4) snprintf(out, size, "%.0f ns", ns);
    else if (ns < 1e7) snprintf(out, size, "%.1f us", ns / 1e3);
    else snprintf(out, size, "%.1f ms", ns / 1e6);
    return out;
}

void bench_show_row(const BenchCell *c, int row)
{
    char time[32], low[32], rate[64] = "", bytes[32] = "", limit[64] = "", more[96] = "";
    if (!row)
        printf("%-40s %10s %9s %19s %8s  %s\n", "cell", "time", "GOP/s", "[95 %]", "GB/s",
               "of the limit");
    if (c->broken) {
        printf("%-40s WRONG: %s\n", c->name, c->broken);
        return;
    }
    if (c->ops > 0)
        snprintf(rate, sizeof rate, "%9.1f [%8.1f,%8.1f]", c->ops / c->time.median,
                 c->ops / c->time.high, c->ops / c->time.low);
    else
        snprintf(rate, sizeof rate, "%9s [%s]", "",
                 bench_human(low, sizeof low, c->time.high - c->time.low));
    if (c->bytes > 0) snprintf(bytes, sizeof bytes, "%.1f", c->bytes / c->time.median);
    if (c->reads) snprintf(limit, sizeof limit, "       %s", c->limit);
    else if (c->limit) snprintf(limit, sizeof limit, "%4.0f %% %s", bench_percent(c), c->limit);
    if (c->per > 0)
        snprintf(more, sizeof more, "%.2f us a position, %.0f MB", c->time.median / c->per / 1e3,
                 c->memory / 1e6);
    printf("%-40s %10s %-30s %8s  %s%s%s%s\n", c->name,
           bench_human(time, sizeof time, c->time.median), rate, bytes, limit, more,
           c->disturbed ? "  DISTURBED: " : "", c->disturbed ? c->disturbed : "");
}

static json_t *json_number_or_null(double x) { return isfinite(x) ? json_real(x) : json_null(); }

void bench_show_json(const BenchCell *c)
{
    json_t *o = json_object();
    const int ok = !c->broken;
    json_object_set_new(o, "name", json_string(c->name));
    json_object_set_new(o, "ok", json_boolean(ok));
    json_object_set_new(o, "gops",
                        json_number_or_null(ok && c->ops > 0 ? c->ops / c->time.median : NAN));
    json_object_set_new(o, "gbs",
                        json_number_or_null(ok && c->bytes > 0 ? c->bytes / c->time.median : NAN));
    json_object_set_new(o, "limit", c->limit ? json_string(c->limit) : json_null());
    json_object_set_new(o, "percent_of_limit", json_number_or_null(ok ? bench_percent(c) : NAN));
    json_object_set_new(o, "median_ns", json_number_or_null(ok ? c->time.median : NAN));
    json_object_set_new(o, "ci_low", json_number_or_null(ok ? c->time.low : NAN));
    json_object_set_new(o, "ci_high", json_number_or_null(ok ? c->time.high : NAN));
    if (c->prepare_ns > 0) json_object_set_new(o, "prepare_ns", json_number_or_null(c->prepare_ns));
    if (c->per > 0)
        json_object_set_new(o, "ns_per_position",
                            json_number_or_null(ok ? c->time.median / c->per : NAN));
    if (c->memory > 0) json_object_set_new(o, "memory_bytes", json_number_or_null(c->memory));
    json_object_set_new(o, "disturbed", c->disturbed ? json_string(c->disturbed) : json_null());
    if (c->broken) json_object_set_new(o, "error", json_string(c->broken));
    char *text = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(9));
    CHECK(text);
    puts(text);
    free(text);
    json_decref(o);
}
