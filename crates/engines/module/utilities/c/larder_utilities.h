/* What the server alone uses of this library, besides what memcached/util.h and its neighbours promise to engines. */
#ifndef LARDER_UTILITIES_H
#define LARDER_UTILITIES_H

#include <stddef.h>
#include <stdio.h>

#include <memcached/config_parser.h>
#include <memcached/extension.h>

/* For core tables: parse_config() with the numbering to assume where the entries do not show which one they have. */
int larder_parse_config_without_ssize(const char *text, struct config_item items[], FILE *error);
int larder_parse_config_with_ssize(const char *text, struct config_item items[], FILE *error);

/*
 * Takes a line of an engine's: `length` bytes without a newline at the end, and an address in the code that called.
 * Called from any thread; must not call the engine.
 */
typedef void (*larder_log_sink)(int severity, const void *cookie, const char *text, size_t length,
                                const void *caller);

/* Where lines go from now on. Before the first call they go to standard error. */
void larder_set_log_sink(larder_log_sink sink);

/* The logger to be given to engines. */
EXTENSION_LOGGER_DESCRIPTOR *larder_logger(void);

#endif
