/* Numbers from text, and byte order. */
/* For endian.h. */
#define _DEFAULT_SOURCE

#include <ctype.h>
#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include <memcached/util.h>

MEMCACHED_PUBLIC_API uint64_t memcached_htonll(uint64_t value);
MEMCACHED_PUBLIC_API uint64_t memcached_ntohll(uint64_t value);

static const char *after_blanks(const char *text)
{
    while (isspace((unsigned char)*text)) {
        text++;
    }
    return text;
}

/* Whether a number was read up to `end`, whole and in range. */
static bool is_whole(const char *start, const char *end)
{
    return end != start && errno == 0 && (*end == '\0' || isspace((unsigned char)*end));
}

MEMCACHED_PUBLIC_API bool safe_strtoull(const char *text, uint64_t *out)
{
    *out = 0;
    if (text == NULL) {
        return false;
    }
    text = after_blanks(text);
    char *end = NULL;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    /* strtoull() takes a negative number for a large one. */
    if (*text == '-' || !is_whole(text, end)) {
        return false;
    }
    *out = number;
    return true;
}

MEMCACHED_PUBLIC_API bool safe_strtoll(const char *text, int64_t *out)
{
    *out = 0;
    if (text == NULL) {
        return false;
    }
    char *end = NULL;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (!is_whole(text, end)) {
        return false;
    }
    *out = number;
    return true;
}

MEMCACHED_PUBLIC_API bool safe_strtoul(const char *text, uint32_t *out)
{
    uint64_t number = 0;
    bool fits = safe_strtoull(text, &number) && number <= UINT32_MAX;
    *out = fits ? (uint32_t)number : 0;
    return fits;
}

MEMCACHED_PUBLIC_API bool safe_strtol(const char *text, int32_t *out)
{
    int64_t number = 0;
    bool fits = safe_strtoll(text, &number) && number >= INT32_MIN && number <= INT32_MAX;
    *out = fits ? (int32_t)number : 0;
    return fits;
}

MEMCACHED_PUBLIC_API bool safe_strtof(const char *text, float *out)
{
    *out = 0;
    if (text == NULL) {
        return false;
    }
    char *end = NULL;
    errno = 0;
    float number = strtof(text, &end);
    if (!is_whole(text, end)) {
        return false;
    }
    *out = number;
    return true;
}

/* Some engines know these two by the first pair of names, some by the second. */

MEMCACHED_PUBLIC_API uint64_t htonll(uint64_t value)
{
    return htobe64(value);
}

MEMCACHED_PUBLIC_API uint64_t ntohll(uint64_t value)
{
    return be64toh(value);
}

MEMCACHED_PUBLIC_API uint64_t memcached_htonll(uint64_t value)
{
    return htobe64(value);
}

MEMCACHED_PUBLIC_API uint64_t memcached_ntohll(uint64_t value)
{
    return be64toh(value);
}
