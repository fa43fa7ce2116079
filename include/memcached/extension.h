/* Extensions of the server. larder offers the logger alone: other kinds cannot be registered. */
#ifndef MEMCACHED_EXTENSION_H
#define MEMCACHED_EXTENSION_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    EXTENSION_DAEMON = 0x00,
    EXTENSION_LOGGER = 0x01,
    EXTENSION_ASCII_PROTOCOL = 0x02,
    EXTENSION_BINARY_PROTOCOL = 0x03
} extension_type_t;

typedef enum {
    EXTENSION_SUCCESS = 0x00,
    EXTENSION_FATAL = 0xfe,
    EXTENSION_FAILED = 0xff
} EXTENSION_ERROR_CODE;

typedef enum {
    EXTENSION_LOG_DETAIL = 0,
    EXTENSION_LOG_DEBUG = 1,
    EXTENSION_LOG_INFO = 2,
    EXTENSION_LOG_WARNING = 3
} EXTENSION_LOG_LEVEL;

/* Writes lines to the server's log. Both functions may be called from any thread, with locks held. */
typedef struct {
    const char *(*get_name)(void);
    /* `format` as for printf; the newline at the end may be left out. `client_cookie` may be null. */
    void (*log)(EXTENSION_LOG_LEVEL severity, const void *client_cookie, const char *format, ...)
#if defined(__GNUC__)
        __attribute__((format(printf, 3, 4)))
#endif
        ;
} EXTENSION_LOGGER_DESCRIPTOR;

#ifdef __cplusplus
}
#endif

#endif
