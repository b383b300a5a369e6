#define _GNU_SOURCE

#include "report.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "read.h"

enum { MOST = 128, TEXT = 256, LABEL = 64, COLUMNS = 78 };

enum kind { SECTION, WORDS, NUMBER, BYTES, YES };

struct entry {
    enum kind kind;
    char label[LABEL];
    char text[TEXT];
    uint64_t number;
};

struct cell {
    const char *way;
    uint64_t bytes;
    double microseconds, ratio;
};

static struct entry entries[MOST];
static struct cell cells[32];
static char advice[24][512], lacks[8][512];
static int entry_count, cell_count, advice_count, lack_count;

/* Returns the next place in a table, which has enough places for all that this program can find. */
#define NEXT(table, count) \
    (&(table)[(count) < (int)(sizeof(table) / sizeof *(table)) ? (count)++ : (abort(), 0)])

static struct entry *add(enum kind kind, const char *label)
{
    struct entry *entry = NEXT(entries, entry_count);
    entry->kind = kind;
    snprintf(entry->label, sizeof entry->label, "%s", label);
    return entry;
}

void section(const char *name)
{
    add(SECTION, name);
}

void fact_text(const char *label, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    struct entry *entry = add(WORDS, label);
    vsnprintf(entry->text, sizeof entry->text, format, arguments);
    va_end(arguments);
}

void fact_number(const char *label, uint64_t number)
{
    add(NUMBER, label)->number = number;
}

void fact_bytes(const char *label, uint64_t bytes)
{
    add(BYTES, label)->number = bytes;
}

void fact_yes(const char *label, int is_so)
{
    add(YES, label)->number = is_so != 0;
}

void fact_limit(const char *label, uint64_t limit, int is_bytes)
{
    if (limit == (uint64_t)RLIM_INFINITY)
        fact_text(label, "unlimited");
    else
        add(is_bytes ? BYTES : NUMBER, label)->number = limit;
}

void fact_file(const char *label, const char *path)
{
    char line[TEXT];
    char *end;
    if (!read_line(path, line, sizeof line)) {
        fact_text(label, "not there");
        return;
    }
    unsigned long long number = strtoull(line, &end, 10);
    if (*line >= '0' && *line <= '9' && *end == '\0')
        fact_number(label, number);
    else
        fact_text(label, "%s", line);
}

void cost(const char *way, uint64_t bytes, double microseconds, double ratio)
{
    *NEXT(cells, cell_count) = (struct cell){way, bytes, microseconds, ratio};
}

void advise(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(*NEXT(advice, advice_count), sizeof *advice, format, arguments);
    va_end(arguments);
}

void missing(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(*NEXT(lacks, lack_count), sizeof *lacks, format, arguments);
    va_end(arguments);
}

int count_missing(void)
{
    return lack_count;
}

/* Returns a number of bytes in a larger unit, such as "64 MiB". */
static const char *in_units(uint64_t bytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"};
    static char text[48];
    size_t unit = 0;
    double number = (double)bytes;
    while (number >= 1024 && unit + 1 < sizeof units / sizeof *units) {
        number /= 1024;
        unit++;
    }
    snprintf(text, sizeof text, "%.*f %s", number < 10 && unit > 0 ? 1 : 0, number, units[unit]);
    char *zero = strstr(text, ".0 ");
    if (zero != NULL)
        memmove(zero, zero + 2, strlen(zero + 2) + 1);
    return text;
}

/* Shows a text that begins at column `indent`, and indents its further lines. */
static void show_wrapped(FILE *out, const char *text, int indent)
{
    int column = indent;
    for (const char *word = text; *word != '\0';) {
        int length = (int)strcspn(word, " ");
        if (word != text && column + 1 + length > COLUMNS)
            column = fprintf(out, "\n%*s", indent, "") - 1;
        else if (word != text)
            column += fprintf(out, " ");
        column += fprintf(out, "%.*s", length, word);
        word += length + (word[length] == ' ');
    }
    fputc('\n', out);
}

static void show_list(FILE *out, const char *title, char list[][512], int count)
{
    if (count > 0)
        fprintf(out, "\n%s\n", title);
    for (int i = 0; i < count; i++) {
        fputs("  - ", out);
        show_wrapped(out, list[i], 4);
    }
}

static void show_costs_in_words(FILE *out)
{
    if (cell_count == 0)
        return;
    fputs("\ncost: microseconds, and times as long as a plain memfd\n  ", out);
    fprintf(out, "%-22s", "");
    for (int i = 0; i < cell_count && strcmp(cells[i].way, cells[0].way) == 0; i++)
        fprintf(out, "%18s", in_units(cells[i].bytes));
    for (int i = 0; i < cell_count; i++) {
        if (i == 0 || strcmp(cells[i].way, cells[i - 1].way) != 0)
            fprintf(out, "\n  %-22s", cells[i].way);
        fprintf(out, "%10.1f (%5.2f)", cells[i].microseconds, cells[i].ratio);
    }
    fputc('\n', out);
}

void show_words(FILE *out)
{
    for (int i = 0; i < entry_count; i++) {
        const struct entry *entry = &entries[i];
        if (entry->kind == SECTION) {
            fprintf(out, "%s%s\n", i == 0 ? "" : "\n", entry->label);
            continue;
        }
        fprintf(out, "  %-32s  ", entry->label);
        switch (entry->kind) {
        case NUMBER: fprintf(out, "%llu\n", (unsigned long long)entry->number); break;
        case YES: fprintf(out, "%s\n", entry->number ? "yes" : "no"); break;
        case BYTES:
            fprintf(out, "%llu", (unsigned long long)entry->number);
            fprintf(out, entry->number < 1024 ? "\n" : " (%s)\n", in_units(entry->number));
            break;
        default: show_wrapped(out, entry->text, 36);
        }
    }
    show_costs_in_words(out);
    show_list(out, "missing", lacks, lack_count);
    show_list(out, "what to change", advice, advice_count);
}

/* Shows a JSON string. Bytes above ASCII, which the kernel may show, become question marks. */
static void show_string(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\')
            fprintf(out, "\\%c", byte);
        else
            fputc(byte < 0x20 || byte > 0x7e ? '?' : byte, out);
    }
    fputc('"', out);
}

/* Shows a label as a JSON key: "/dev/shm" becomes dev_shm. */
static void show_key(FILE *out, const char *label)
{
    char key[LABEL];
    size_t length = 0;
    for (; *label != '\0'; label++) {
        char c = *label >= 'A' && *label <= 'Z' ? (char)(*label - 'A' + 'a') : *label;
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
            key[length++] = c;
        else if (length > 0 && key[length - 1] != '_')
            key[length++] = '_';
    }
    while (length > 0 && key[length - 1] == '_')
        length--;
    fprintf(out, "\"%.*s\": ", (int)length, key);
}

static void show_strings(FILE *out, const char *key, char list[][512], int count)
{
    fprintf(out, ",\n  \"%s\": [", key);
    for (int i = 0; i < count; i++) {
        fputs(i == 0 ? "\n    " : ",\n    ", out);
        show_string(out, list[i]);
    }
    fputs(count == 0 ? "]" : "\n  ]", out);
}

static void show_costs_in_json(FILE *out)
{
    fputs(",\n  \"cost\": [", out);
    for (int i = 0; i < cell_count; i++) {
        fputs(i == 0 ? "\n    {\"way\": " : ",\n    {\"way\": ", out);
        show_string(out, cells[i].way);
        fprintf(out, ", \"bytes\": %llu, \"microseconds\": %.1f, \"ratio\": %.2f}",
                (unsigned long long)cells[i].bytes, cells[i].microseconds, cells[i].ratio);
    }
    fputs(cell_count == 0 ? "]" : "\n  ]", out);
}

void show_json(FILE *out)
{
    fputs("{", out);
    for (int i = 0; i < entry_count; i++) {
        const struct entry *entry = &entries[i];
        int is_first = i == 0 || entries[i - 1].kind == SECTION;
        if (entry->kind == SECTION) {
            fputs(i == 0 ? "\n  " : "\n  },\n  ", out);
            show_key(out, entry->label);
            fputs("{", out);
            continue;
        }
        fputs(is_first ? "\n    " : ",\n    ", out);
        show_key(out, entry->label);
        if (entry->kind == WORDS)
            show_string(out, entry->text);
        else if (entry->kind == YES)
            fputs(entry->number ? "true" : "false", out);
        else
            fprintf(out, "%llu", (unsigned long long)entry->number);
    }
    fputs("\n  }", out);
    show_costs_in_json(out);
    show_strings(out, "missing", lacks, lack_count);
    show_strings(out, "what_to_change", advice, advice_count);
    fputs("\n}\n", out);
}
