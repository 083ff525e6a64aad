/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "kernels/cpu.h"
#include "kernels/base.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const struct { const char *name; unsigned bit, with; } cpu_table[] = {
    { "sse2", 0, 0 },
    { "avx2", CPU_AVX2, CPU_AVX2 },
    { "avx512", CPU_AVX512, CPU_AVX2 | CPU_AVX512 },
    { "vnni", CPU_VNNI, CPU_AVX2 | CPU_AVX512 | CPU_VNNI },
    { "popcnt512", CPU_POPCNT512, CPU_AVX2 | CPU_AVX512 | CPU_POPCNT512 },
    { "vbmi", CPU_VBMI, CPU_AVX2 | CPU_AVX512 | CPU_VBMI },
    { "bf16", CPU_BF16, CPU_AVX2 | CPU_AVX512 | CPU_BF16 },
    { "amx", CPU_AMX, CPU_AVX2 | CPU_AVX512 | CPU_AMX },
    { "neon", CPU_NEON, CPU_NEON },
    { "dotprod", CPU_DOTPROD, CPU_NEON | CPU_DOTPROD },
};
enum { CPU_NAMES = sizeof cpu_table / sizeof *cpu_table };

#if ARCH_X86_64
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <xmmintrin.h>
void cpu_flush_denormals(void)
{
    const unsigned flush_to_zero = 0x8000, denormals_are_zero = 0x0040;
    _mm_setcsr(_mm_getcsr() | flush_to_zero | denormals_are_zero);
}

/* Tiles of int8 and bfloat16: Linux (5.16 and later) lets a process use them, and saves their 8 KB,
 * once it has asked for them. */
static int cpu_amx(void)
{
    enum { BF16 = 1 << 22, TILE = 1 << 24, INT8 = 1 << 25, ALL = BF16 | TILE | INT8 };
    /* ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA */
    const long request = 0x1023, tile_data = 18;
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & ALL) == ALL &&
           !syscall(SYS_arch_prctl, request, tile_data);
}

static unsigned cpu_machine(void)
{
    unsigned has = 0;
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) has |= CPU_AVX2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) has |= CPU_AVX512;
    if (!(has & CPU_AVX512)) return has;
    if (__builtin_cpu_supports("avx512vnni")) has |= CPU_VNNI;
    if (__builtin_cpu_supports("avx512vpopcntdq") && __builtin_cpu_supports("avx512bitalg"))
        has |= CPU_POPCNT512;
    if (__builtin_cpu_supports("avx512vbmi")) has |= CPU_VBMI;
    if (__builtin_cpu_supports("avx512bf16")) has |= CPU_BF16;
    if (cpu_amx()) has |= CPU_AMX;
    return has;
}
#else
#include <sys/auxv.h>
void cpu_flush_denormals(void)
{
    uint64_t fpcr;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    __asm__ volatile("msr fpcr, %0" : : "r"(fpcr | 1u << 24));
}

static unsigned cpu_machine(void)
{
    const unsigned long hwcap_asimd = 1ul << 1, hwcap_asimddp = 1ul << 20,
                        caps = getauxval(AT_HWCAP);
    return (caps & hwcap_asimd ? CPU_NEON : 0) | (caps & hwcap_asimddp ? CPU_DOTPROD : 0);
}
#endif

/* the bits that EIGHTYSIX_CPU allows */
static unsigned cpu_allowed(const char *s)
{
    unsigned allowed = 0;
    while (*s) {
        const size_t len = strcspn(s, ",");
        int i = 0;
        while (i < CPU_NAMES &&
               (strlen(cpu_table[i].name) != len || strncmp(cpu_table[i].name, s, len)))
            i++;
        char all[128];
        if (i == CPU_NAMES)
            die("EIGHTYSIX_CPU: '%.*s' is none of %s", (int)len, s,
                cpu_text(~0u, all, sizeof all));
        allowed |= cpu_table[i].with;
        s += len + (s[len] == ',');
    }
    return allowed;
}

enum { CPU_ASKED = 1u << 30 };       /* beside the bits of a word that has been filled in */
static _Atomic unsigned cpu_bits;

/* CPUID traps under a hypervisor, tiles need a system call, and the environment is searched: once.
 * Threads that ask at the same time store the same bits. */
unsigned cpu_read(void)
{
    const char *s = getenv("EIGHTYSIX_CPU");
    const unsigned has = cpu_machine() & (s && *s ? cpu_allowed(s) : ~0u);
    atomic_store_explicit(&cpu_bits, has | CPU_ASKED, memory_order_relaxed);
    return has;
}

unsigned cpu_has(void)
{
    const unsigned bits = atomic_load_explicit(&cpu_bits, memory_order_relaxed);
    return bits ? bits & ~(unsigned)CPU_ASKED : cpu_read();
}

const char *cpu_text(unsigned bits, char *out, int size)
{
    int used = 0;
    out[0] = 0;
    for (int i = 0; i < CPU_NAMES; i++)
        if (cpu_table[i].bit & bits && used < size)
            used += snprintf(out + used, (size_t)(size - used), "%s%s", used ? "," : "",
                             cpu_table[i].name);
    if (!used) snprintf(out, (size_t)size, "sse2");
    return out;
}
