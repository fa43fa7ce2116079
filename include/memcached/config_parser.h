/*
 * Configuration strings: `key=value;key=value`.
 *
 * White space around keys and values is dropped, a backslash makes the next `=` or `;` ordinary, the later of two
 * entries wins. Keys are shorter than 80 bytes, values shorter than 1024.
 */
#ifndef MEMCACHED_CONFIG_PARSER_H
#define MEMCACHED_CONFIG_PARSER_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include <memcached/profile.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The numbers differ between profiles; the parser finds out which of them an engine was built with. */
enum config_datatype {
    /* Decimal, with k, m, g or t behind it for powers of 1024. */
    DT_SIZE,
#if MEMCACHED_HAS_CONFIG_SSIZE
    /* The same, and may be negative. */
    DT_SSIZE,
#endif
    DT_FLOAT,
    /* true, on, false or off. */
    DT_BOOL,
    /* A copy made with malloc(); the engine frees it. */
    DT_STRING,
    /* The value names a file with one such string a line, lines that begin with # left out. No destination. */
    DT_CONFIGFILE
};

/* One key an engine knows. A null `key` ends the array. */
struct config_item {
    const char *key;
    enum config_datatype datatype;
    union {
        size_t *dt_size;
#if MEMCACHED_HAS_CONFIG_SSIZE
        ssize_t *dt_ssize;
#endif
        float *dt_float;
        bool *dt_bool;
        char **dt_string;
    } value;
    /* Set to true when the string had this key. */
    bool found;
};

/*
 * Fills `items` from `text`. 0: all is well; 1: a key was unknown, the rest is filled in; -1: a value was bad or a file
 * could not be read, and what follows it was not looked at. Complaints go to `error`, if it is not null.
 *
 * The core table offers the same function; this one is in the utilities library.
 */
int parse_config(const char *text, struct config_item items[], FILE *error);

#ifdef __cplusplus
}
#endif

#endif
