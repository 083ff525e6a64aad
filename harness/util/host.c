/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The machine as /proc/cpuinfo, /proc/meminfo, uname and sysfs describe it. What the system does
 * not say is "unknown" or 0, never guessed. */
#include "harness/util/host.h"
#include "kernels/cpu.h"
#include <errno.h>
#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

/* The first line of a small file, without its end; "" when it cannot be read. */
static const char *line_of(const char *path, char *out, int size)
{
    FILE *f = fopen(path, "r");
    if (!f || !fgets(out, size, f)) *out = 0;
    if (f) fclose(f);
    out[strcspn(out, "\n")] = 0;
    return out;
}

/* The text after "key<blanks>:" in a file of such lines, copied to out; 0 when there is none. */
static int field_of(const char *path, const char *key, char *out, int size)
{
    char line[4096];
    int found = 0;
    FILE *f = fopen(path, "r");
    while (f && !found && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (!colon || strncmp(line, key, strlen(key))) continue;
        if (strspn(line + strlen(key), " \t") != (size_t)(colon - line) - strlen(key)) continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(out, (size_t)size, "%s", colon + 1 + strspn(colon + 1, " \t"));
        found = 1;
    }
    if (f) fclose(f);
    return found;
}

static const char *cpu_name(Arena *a)
{
    char name[256], part[64];
    if (field_of("/proc/cpuinfo", "model name", name, sizeof name))
        return arena_text(a, "%s", name);
    if (field_of("/proc/cpuinfo", "CPU implementer", name, sizeof name) &&
        field_of("/proc/cpuinfo", "CPU part", part, sizeof part))
        return arena_text(a, "ARM implementer %.100s part %s", name, part);
    return "unknown";
}

/* kilobytes of a cache of the first core; level 1 counts data and unified caches only */
static long cache_kb(int level)
{
    char path[128], text[64];
    for (int i = 0; i < 8; i++) {
        const char *dir = "/sys/devices/system/cpu/cpu0/cache/index";
        snprintf(path, sizeof path, "%s%d/level", dir, i);
        if (atoi(line_of(path, text, sizeof text)) != level) continue;
        snprintf(path, sizeof path, "%s%d/type", dir, i);
        if (!strcmp(line_of(path, text, sizeof text), "Instruction")) continue;
        snprintf(path, sizeof path, "%s%d/size", dir, i);
        const long size = atol(line_of(path, text, sizeof text));
        return strchr(text, 'M') ? size * 1024 : size;
    }
    return 0;
}

static const char *virt_of(Arena *a)
{
    char flags[4096], vendor[256];
    if (!field_of("/proc/cpuinfo", "flags", flags, sizeof flags)) return "unknown";
    if (!strstr(flags, " hypervisor")) return "none";
    line_of("/sys/class/dmi/id/sys_vendor", vendor, sizeof vendor);
    return arena_text(a, "%s", *vendor ? vendor : "hypervisor");
}

const Host *host_read(Arena *a)
{
    Host *h = arena_get(a, sizeof *h);
    struct utsname u = { 0 };
    char text[256];
    uname(&u);
    h->cpu = cpu_name(a);
    h->isa = arena_text(a, "%s", cpu_text(cpu_has(), text, sizeof text));
    h->kernel = arena_text(a, "%s %s %s", u.sysname, u.release, u.machine);
    h->hostname = arena_text(a, "%s", u.nodename);
    line_of("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", text, sizeof text);
    h->governor = arena_text(a, "%s", *text ? text : "unknown");
    h->virt = virt_of(a);
    h->cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
    h->mem_kb = field_of("/proc/meminfo", "MemTotal", text, sizeof text) ? atol(text) : 0;
    h->l1d_kb = cache_kb(1);
    h->l2_kb = cache_kb(2);
    h->l3_kb = cache_kb(3);
    return h;
}

const char *host_place(Arena *a)
{
    char boot[64];
    struct stat is;
    line_of("/proc/sys/kernel/random/boot_id", boot, sizeof boot);
    if (!*boot || stat("/proc/self/ns/pid", &is)) return "";
    return arena_text(a, "boot %s, PID namespace %llu", boot, (unsigned long long)is.st_ino);
}

static const char *digest(struct sha256_ctx *c, char out[65])
{
    uint8_t d[SHA256_DIGEST_SIZE];
    sha256_digest(c, sizeof d, d);
    for (int i = 0; i < SHA256_DIGEST_SIZE; i++) sprintf(out + 2 * i, "%02x", d[i]);
    return out;
}

const char *sha256_hex(const void *data, size_t len, char out[65])
{
    struct sha256_ctx c;
    sha256_init(&c);
    sha256_update(&c, len, data);
    return digest(&c, out);
}

const char *sha256_file(const char *path, char out[65])
{
    static _Thread_local char why[512];
    struct sha256_ctx c;
    uint8_t block[65536];
    size_t n;
    FILE *f = fopen(path, "rb");
    sha256_init(&c);
    while (f && (n = fread(block, 1, sizeof block, f)) > 0) sha256_update(&c, n, block);
    const int bad = !f || ferror(f), err = errno;
    if (f) fclose(f);
    if (bad) {
        snprintf(why, sizeof why, "%.400s: cannot be read: %s", path, strerror(err));
        return why;
    }
    digest(&c, out);
    return NULL;
}

const char *host_class(const Host *h, Arena *a)
{
    return arena_text(a, "%s | %s | %d cores", h->cpu, h->isa, h->cores);
}
