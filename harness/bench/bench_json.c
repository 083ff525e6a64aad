/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A cell of a bench as one line of JSON. */
#include "harness/bench/bench.h"
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

double bench_percent(const BenchCell *c)
{
    return c->limit_ns > 0 && !c->reads ? 100 * c->limit_ns / c->time.median : NAN;
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
    if (c->broken) json_object_set_new(o, "error", json_string(c->broken));
    char *text = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(9));
    CHECK(text);
    puts(text);
    free(text);
    json_decref(o);
}
