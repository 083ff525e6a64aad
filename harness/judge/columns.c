/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/judge/columns.h"
#include <ctype.h>
#include <string.h>

static const char *columns_text(const DbTable *t, int row, int column)
{
    const char *text = t->field[row * t->columns + column];
    return text ? text : "-";
}

/* Characters of UTF-8 */
static int columns_width(const char *text)
{
    int n = 0;
    for (; *text; text++) n += (*text & 0xc0) != 0x80;
    return n;
}

typedef struct Column { int shown, width, right; } Column;

static Column columns_look(const DbTable *t, int column)
{
    Column c = { 0, 0, 1 };
    for (int r = 0; r <= t->rows; r++) {
        const char *text = columns_text(t, r, column), *digit = text + strspn(text, "+-");
        const int width = columns_width(text);
        if (width > c.width) c.width = width;
        if (!r) continue;
        c.shown |= *text && strcmp(text, "-");
        c.right &= !strcmp(text, "-") ||
                   (isdigit((unsigned char)*digit) && !digit[strspn(digit, "0123456789.")]);
    }
    return c;
}

void columns_print(const DbTable *t, FILE *out)
{
    enum { MOST = 64 };
    Column look[MOST];
    int last = 0;
    CHECK(t->columns <= MOST);
    for (int c = 0; c < t->columns; c++) {
        look[c] = columns_look(t, c);
        if (look[c].shown) last = c;
    }
    for (int r = 0; r <= t->rows; r++)
        for (int c = 0; c <= last; c++) {
            const char *text = columns_text(t, r, c);
            const int room = look[c].width - columns_width(text);
            if (!look[c].shown) continue;
            if (look[c].right) fprintf(out, "%*s%s", room, "", text);
            else fprintf(out, "%s%*s", text, c == last ? 0 : room, "");
            fputs(c == last ? "\n" : "  ", out);
        }
}
