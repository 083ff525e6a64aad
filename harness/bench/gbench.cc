/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Google Benchmark 1.7: every sample is a RunSpecifiedBenchmarks of the one benchmark that is
 * registered, so the order of samples is the caller's (its own
 * --benchmark_enable_random_interleaving reports in bulk and seeds itself). What it says of a run
 * is passed on, renamed (no "/iterations:5/repeats:1/real_time") and numbered by round. */
#include "harness/bench/gbench.h"
#include <benchmark/benchmark.h>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

namespace {
struct Entry {
    std::string name;
    GbenchWork *work;
    void *ctx;
    double ops, bytes;
};
}

struct Gbench {
    std::vector<Entry> entries;
    std::string path;
    std::ofstream out;
    benchmark::JSONReporter json;
    bool began;
    int rounds, bench, round;
    GbenchTake *take;
    void *ctx;
};

namespace {
std::string sentence;

class Passer : public benchmark::BenchmarkReporter {
    Gbench *g;

public:
    explicit Passer(Gbench *to) : g(to) {}
    bool ReportContext(const Context &context) override
    {
        if (!g->out.is_open() || g->began) return true;
        g->began = true;
        return g->json.ReportContext(context);
    }
    void ReportRuns(const std::vector<Run> &reported) override
    {
        std::vector<Run> runs(reported);
        for (Run &r : runs) {
            r.run_name.iterations.clear();
            r.run_name.time_type.clear();
            r.run_name.repetitions.clear();
            r.repetitions = g->rounds;
            r.repetition_index = g->round;
            g->take(g->ctx, g->bench, r.benchmark_name().c_str(), g->round,
                    r.real_accumulated_time / static_cast<double>(r.iterations) * 1e9,
                    static_cast<long>(r.iterations));
        }
        if (g->out.is_open()) g->json.ReportRuns(runs);
    }
};
}

extern "C" Gbench *gbench_open(const char *path, int rounds, GbenchTake *take, void *ctx,
                               const char **why)
{
    Gbench *g = new Gbench{};
    *why = nullptr;
    g->rounds = rounds;
    g->take = take;
    g->ctx = ctx;
    if (!path) return g;
    g->path = path;
    g->out.open(path);
    if (!g->out) {
        sentence = g->path + ": " + std::strerror(errno);
        *why = sentence.c_str();
        delete g;
        return nullptr;
    }
    g->json.SetOutputStream(&g->out);
    g->json.SetErrorStream(&g->out);
    return g;
}

extern "C" int gbench_add(Gbench *g, const char *name, GbenchWork *work, void *ctx, double ops,
                          double bytes)
{
    g->entries.push_back(Entry{name, work, ctx, ops, bytes});
    return static_cast<int>(g->entries.size()) - 1;
}

extern "C" void gbench_run(Gbench *g, int bench, long iters, int round)
{
    const Entry e = g->entries.at(static_cast<size_t>(bench));
    using benchmark::Counter;
    g->bench = bench;
    g->round = round;
    benchmark::ClearRegisteredBenchmarks();
    benchmark::RegisterBenchmark(e.name.c_str(),
                                 [e](benchmark::State &state) {
                                     while (state.KeepRunningBatch(state.max_iterations))
                                         e.work(e.ctx, static_cast<long>(state.max_iterations));
                                     if (e.ops > 0)
                                         state.counters["ops"] =
                                             Counter(e.ops, Counter::kIsIterationInvariantRate);
                                     if (e.bytes > 0)
                                         state.counters["bytes"] =
                                             Counter(e.bytes, Counter::kIsIterationInvariantRate);
                                 })
        ->Iterations(iters)
        ->Repetitions(1)
        ->UseRealTime()
        ->MeasureProcessCPUTime()
        ->Unit(benchmark::kNanosecond);
    Passer passer(g);
    benchmark::RunSpecifiedBenchmarks(&passer, std::string("all"));
    benchmark::ClearRegisteredBenchmarks();
}

extern "C" const char *gbench_close(Gbench *g)
{
    const char *why = nullptr;
    if (g->out.is_open()) {
        if (g->began) g->json.Finalize();
        else g->out << "{\"context\": {}, \"benchmarks\": []}\n";
        g->out.close();
        if (!g->out) {
            sentence = g->path + ": expected to be able to write all of it";
            why = sentence.c_str();
        }
    }
    delete g;
    return why;
}
