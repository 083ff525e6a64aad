/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A target without libFuzzer: runs it on the files named as arguments. `make test` replays the
 * seeds with it. */
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>

int main(int argc, char **argv)
{
    enum { MOST = 1 << 20 };
    static uint8_t data[MOST];
    for (int i = 1; i < argc; i++) {
        FILE *f = fopen(argv[i], "rb");
        if (!f) {
            fprintf(stderr, "%s: cannot be read\n", argv[i]);
            return 2;
        }
        const size_t size = fread(data, 1, MOST, f);
        fclose(f);
        uint8_t *exact = malloc(size +
                                !size); /* of its own, so that reading past its end is seen */
        if (!exact) return 2;
        for (size_t k = 0; k < size; k++) exact[k] = data[k];
        LLVMFuzzerTestOneInput(exact, size);
        free(exact);
    }
    printf("%d inputs\n", argc - 1);
    return argc < 2;
}
