/*
 * Configuration strings.
 *
 * Engines number the types of entries in one of two ways, and nothing says which; so an array of entries is looked at
 * as a whole first, with the text it is to be filled from, before anything is converted.
 */
#define _POSIX_C_SOURCE 200809L

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <memcached/util.h>

#include "larder_utilities.h"

/* With the NUL. */
#define KEY_BYTES_MAX 80
#define VALUE_BYTES_MAX 1024
/* Files that name files. */
#define FILE_DEPTH_MAX 8

enum kind { KIND_SIZE, KIND_SSIZE, KIND_FLOAT, KIND_BOOL, KIND_STRING, KIND_FILE, KIND_UNKNOWN };

enum numbering { WITHOUT_SSIZE, WITH_SSIZE };

struct entry {
    char key[KEY_BYTES_MAX];
    char value[VALUE_BYTES_MAX];
};

struct parsing {
    struct config_item *items;
    enum numbering numbering;
    /* For each item, whether this parsing has set it. */
    bool *set;
    FILE *error;
    int file_depth;
    bool saw_unknown_key;
};

static int parse_text(struct parsing *parsing, const char *text);

static void complain(FILE *error, const char *format, ...)
{
    if (error == NULL) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    vfprintf(error, format, arguments);
    va_end(arguments);
    fputc('\n', error);
}

/* Reading `key=value;…` */

/*
 * Copies up to a `stop` character or the end, without the white space around. The answer is where it stopped, null if
 * there is no room.
 */
static const char *copy_part(const char *text, const char *stops, char *out, size_t room)
{
    size_t length = 0;
    while (isspace((unsigned char)*text)) {
        text++;
    }
    while (*text != '\0' && strchr(stops, *text) == NULL) {
        if (*text == '\\' && (text[1] == '=' || text[1] == ';')) {
            text++;
        }
        if (length + 1 == room) {
            return NULL;
        }
        out[length++] = *text++;
    }
    while (length > 0 && isspace((unsigned char)out[length - 1])) {
        length--;
    }
    out[length] = '\0';
    return text;
}

/* The next entry. 1: there is one; 0: the text is at its end; -1: it is not of this form. */
static int next_entry(const char **text, struct entry *entry, FILE *error)
{
    while (isspace((unsigned char)**text) || **text == ';') {
        (*text)++;
    }
    if (**text == '\0') {
        return 0;
    }
    const char *end = copy_part(*text, "=;", entry->key, sizeof entry->key);
    if (end == NULL) {
        complain(error, "configuration: the key at \"%.40s\" is longer than %d bytes", *text, KEY_BYTES_MAX - 1);
        return -1;
    }
    if (*end != '=' || entry->key[0] == '\0') {
        complain(error, "configuration: \"%.*s\" is not of the form key=value", (int)(end - *text), *text);
        return -1;
    }
    *text = copy_part(end + 1, ";", entry->value, sizeof entry->value);
    if (*text == NULL) {
        complain(error, "configuration: the value of \"%s\" is longer than %d bytes", entry->key,
                 VALUE_BYTES_MAX - 1);
        return -1;
    }
    return 1;
}

static struct config_item *find(struct config_item *items, const char *key)
{
    for (; items->key != NULL; items++) {
        if (strcmp(items->key, key) == 0) {
            return items;
        }
    }
    return NULL;
}

/* Converting values */

static bool to_bool(const char *text, bool *out)
{
    *out = strcasecmp(text, "true") == 0 || strcasecmp(text, "on") == 0;
    return *out || strcasecmp(text, "false") == 0 || strcasecmp(text, "off") == 0;
}

/* How often a unit doubles; -1 for none. */
static int unit_shift(const char *unit)
{
    const char *units = "kmgt";
    if (*unit == '\0') {
        return 0;
    }
    const char *place = strchr(units, tolower((unsigned char)*unit));
    return place == NULL || unit[1] != '\0' ? -1 : 10 * (int)(place - units + 1);
}

static bool to_size(const char *text, size_t *out)
{
    if (!isdigit((unsigned char)*text)) {
        return false;
    }
    char *unit = NULL;
    errno = 0;
    unsigned long long number = strtoull(text, &unit, 10);
    int shift = unit_shift(unit);
    if (errno != 0 || shift < 0 || number > (SIZE_MAX >> shift)) {
        return false;
    }
    *out = (size_t)number << shift;
    return true;
}

static bool to_ssize(const char *text, ssize_t *out)
{
    bool negative = *text == '-';
    size_t number = 0;
    if (!to_size(text + (negative ? 1 : 0), &number) || number > SIZE_MAX / 2) {
        return false;
    }
    *out = negative ? -(ssize_t)number : (ssize_t)number;
    return true;
}

static bool to_float(const char *text, float *out)
{
    return *text != '\0' && safe_strtof(text, out);
}

/* Which numbering the types have */

static enum kind kind_of(int number, enum numbering numbering)
{
    static const enum kind without[] = {KIND_SIZE, KIND_FLOAT, KIND_BOOL, KIND_STRING, KIND_FILE};
    static const enum kind with[] = {KIND_SIZE, KIND_SSIZE, KIND_FLOAT, KIND_BOOL, KIND_STRING, KIND_FILE};
    if (number < 0 || number > (numbering == WITH_SSIZE ? 5 : 4)) {
        return KIND_UNKNOWN;
    }
    return numbering == WITH_SSIZE ? with[number] : without[number];
}

/* What the entries alone show. */
static bool entries_show_numbering(const struct config_item *items, enum numbering *numbering)
{
    bool four_is_file = false;
    bool four_is_string = false;
    for (; items->key != NULL; items++) {
        int number = (int)items->datatype;
        if (number == 5) {
            *numbering = WITH_SSIZE;
            return true;
        }
        /* A file is the one type without a destination. */
        four_is_file = four_is_file || (number == 4 && items->value.dt_size == NULL);
        four_is_string = four_is_string || (number == 4 && items->value.dt_size != NULL);
    }
    *numbering = four_is_string && !four_is_file ? WITH_SSIZE : WITHOUT_SSIZE;
    return four_is_file || four_is_string;
}

/* What a value shows: a number makes sense in one numbering and not in the other. */
static bool value_shows_numbering(int number, const char *value, enum numbering *numbering)
{
    bool is_true = false;
    float fraction = 0;
    bool is_word = to_bool(value, &is_true);
    bool is_decimal = to_float(value, &fraction);
    if (number == 1 && is_decimal && strchr(value, '.') != NULL) {
        *numbering = WITHOUT_SSIZE;
    } else if (number == 2 && (is_word || is_decimal)) {
        *numbering = is_word ? WITHOUT_SSIZE : WITH_SSIZE;
    } else if (number == 3) {
        *numbering = is_word ? WITH_SSIZE : WITHOUT_SSIZE;
    } else {
        return false;
    }
    return true;
}

static enum numbering find_numbering(struct config_item *items, const char *text, enum numbering otherwise)
{
    enum numbering numbering = otherwise;
    if (entries_show_numbering(items, &numbering)) {
        return numbering;
    }
    struct entry entry;
    while (next_entry(&text, &entry, NULL) == 1) {
        const struct config_item *found = find(items, entry.key);
        if (found != NULL && value_shows_numbering((int)found->datatype, entry.value, &numbering)) {
            return numbering;
        }
    }
    return otherwise;
}

/* Filling the entries in */

static int parse_file(struct parsing *parsing, const char *path)
{
    if (parsing->file_depth == FILE_DEPTH_MAX) {
        complain(parsing->error, "configuration: %s is the file of a file of a file…: %d deep at most", path,
                 FILE_DEPTH_MAX);
        return -1;
    }
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        complain(parsing->error, "configuration: cannot open %s: %s", path, strerror(errno));
        return -1;
    }
    parsing->file_depth++;
    int outcome = 0;
    char *line = NULL;
    size_t room = 0;
    while (outcome == 0 && getline(&line, &room, file) >= 0) {
        outcome = line[0] == '#' ? 0 : parse_text(parsing, line);
    }
    if (ferror(file)) {
        complain(parsing->error, "configuration: cannot read %s: %s", path, strerror(errno));
        outcome = -1;
    }
    free(line);
    fclose(file);
    parsing->file_depth--;
    return outcome;
}

static bool set_string(struct parsing *parsing, struct config_item *item, const char *value)
{
    char *copy = strdup(value);
    if (copy == NULL) {
        return false;
    }
    /* An earlier entry of the same parsing left a copy nobody has seen. */
    if (parsing->set[item - parsing->items]) {
        free(*item->value.dt_string);
    }
    *item->value.dt_string = copy;
    return true;
}

/* The words for what a value should have been; null if it was set. */
static const char *set_value(struct parsing *parsing, struct config_item *item, enum kind kind, const char *value)
{
    switch (kind) {
    case KIND_SIZE:
        return to_size(value, item->value.dt_size) ? NULL : "a number of bytes, with k, m, g or t behind it or not";
    case KIND_SSIZE:
        return to_ssize(value, (ssize_t *)(void *)item->value.dt_size) ? NULL : "a number";
    case KIND_FLOAT:
        return to_float(value, item->value.dt_float) ? NULL : "a number";
    case KIND_BOOL: {
        bool is_true = false;
        if (!to_bool(value, &is_true)) {
            return "true, on, false or off";
        }
        *item->value.dt_bool = is_true;
        return NULL;
    }
    case KIND_STRING:
        return set_string(parsing, item, value) ? NULL : "shorter, for want of memory";
    default:
        return "of a type that is known";
    }
}

static int apply(struct parsing *parsing, const struct entry *entry)
{
    struct config_item *item = find(parsing->items, entry->key);
    if (item == NULL) {
        complain(parsing->error, "configuration: the key \"%s\" is unknown", entry->key);
        parsing->saw_unknown_key = true;
        return 0;
    }
    bool *set = &parsing->set[item - parsing->items];
    if (*set) {
        complain(parsing->error, "configuration: \"%s\" is given twice; the later one counts", entry->key);
    }
    enum kind kind = kind_of((int)item->datatype, parsing->numbering);
    if (kind == KIND_FILE) {
        if (parse_file(parsing, entry->value) != 0) {
            return -1;
        }
    } else {
        bool has_place = item->value.dt_size != NULL;
        const char *wanted = has_place ? set_value(parsing, item, kind, entry->value) : "one with a place to put it";
        if (wanted != NULL) {
            complain(parsing->error, "configuration: the value \"%s\" of \"%s\" should be %s", entry->value,
                     entry->key, wanted);
            return -1;
        }
    }
    *set = true;
    item->found = true;
    return 0;
}

static int parse_text(struct parsing *parsing, const char *text)
{
    struct entry entry;
    int outcome = next_entry(&text, &entry, parsing->error);
    while (outcome == 1) {
        if (apply(parsing, &entry) != 0) {
            return -1;
        }
        outcome = next_entry(&text, &entry, parsing->error);
    }
    return outcome;
}

static int parse(const char *text, struct config_item *items, FILE *error, enum numbering otherwise)
{
    if (text == NULL || items == NULL) {
        return 0;
    }
    size_t count = 0;
    while (items[count].key != NULL) {
        count++;
    }
    struct parsing parsing = {.items = items, .error = error};
    parsing.numbering = find_numbering(items, text, otherwise);
    parsing.set = calloc(count + 1, sizeof *parsing.set);
    if (parsing.set == NULL) {
        complain(error, "configuration: out of memory");
        return -1;
    }
    int outcome = parse_text(&parsing, text);
    free(parsing.set);
    return outcome != 0 ? -1 : parsing.saw_unknown_key ? 1 : 0;
}

MEMCACHED_PUBLIC_API int larder_parse_config_without_ssize(const char *text, struct config_item items[],
                                                           FILE *error)
{
    return parse(text, items, error, WITHOUT_SSIZE);
}

MEMCACHED_PUBLIC_API int larder_parse_config_with_ssize(const char *text, struct config_item items[], FILE *error)
{
    return parse(text, items, error, WITH_SSIZE);
}

MEMCACHED_PUBLIC_API int parse_config(const char *text, struct config_item items[], FILE *error)
{
    return parse(text, items, error, WITHOUT_SSIZE);
}
