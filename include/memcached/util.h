/*
 * The utilities library, libmemcached_utilities.so.0: larder brings it along and loads it before any engine, so an
 * engine may use these functions whether or not it names the library.
 */
#ifndef MEMCACHED_UTIL_H
#define MEMCACHED_UTIL_H

#include <stdbool.h>
#include <stdint.h>

#include <memcached/config_parser.h>
#include <memcached/visibility.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A decimal number at the start of `text`, leading blanks allowed; the end of the text or white space must follow. On
 * failure, also for a number that does not fit, the answer is false and the output 0.
 */
bool safe_strtoull(const char *text, uint64_t *out);
bool safe_strtoll(const char *text, int64_t *out);
bool safe_strtoul(const char *text, uint32_t *out);
bool safe_strtol(const char *text, int32_t *out);
bool safe_strtof(const char *text, float *out);

/* Between this machine's byte order and the network's. */
#if MEMCACHED_ENGINE_PROFILE == MEMCACHED_PROFILE_ENGINE_PU_CB
uint64_t memcached_htonll(uint64_t value);
uint64_t memcached_ntohll(uint64_t value);
#define htonll memcached_htonll
#define ntohll memcached_ntohll
#else
uint64_t htonll(uint64_t value);
uint64_t ntohll(uint64_t value);
#endif

/* Writes `format`, filled in as by printf, and what errno stands for to standard error. */
#if defined(__GNUC__)
__attribute__((format(printf, 1, 2)))
#endif
void vperror(const char *format, ...);

#ifdef __cplusplus
}
#endif

#endif
