/* Loggers: the C side of log lines, since only C can take a variable number of arguments. */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <memcached/extension_loggers.h>
#include <memcached/util.h>

#include "larder_utilities.h"

/* Longer lines are cut. */
#define LINE_BYTES_MAX 2048

/* Changed and read atomically: engines log from their own threads. */
static larder_log_sink current_sink;

static const char *server_logger_name(void)
{
    return "larder";
}

static void emit(int severity, const void *cookie, const char *text, size_t length, const void *caller)
{
    larder_log_sink sink = __atomic_load_n(&current_sink, __ATOMIC_ACQUIRE);
    if (sink != NULL) {
        sink(severity, cookie, text, length, caller);
    } else {
        fprintf(stderr, "%.*s\n", (int)length, text);
    }
}

static void server_log(EXTENSION_LOG_LEVEL severity, const void *cookie, const char *format, ...)
{
    /* Engines log a failure and look at its errno afterwards. */
    int errno_before = errno;
    char text[LINE_BYTES_MAX] = "";
    if (format != NULL) {
        va_list arguments;
        va_start(arguments, format);
        int written = vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
        if (written < 0) {
            snprintf(text, sizeof text, "(a line that cannot be formatted)");
        }
    }
    size_t length = strlen(text);
    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r')) {
        length--;
    }
    emit((int)severity, cookie, text, length, __builtin_return_address(0));
    errno = errno_before;
}

static const char *null_logger_name(void)
{
    return "null";
}

static void null_log(EXTENSION_LOG_LEVEL severity, const void *cookie, const char *format, ...)
{
    (void)severity;
    (void)cookie;
    (void)format;
}

static EXTENSION_LOGGER_DESCRIPTOR server_logger = {.get_name = server_logger_name, .log = server_log};
static EXTENSION_LOGGER_DESCRIPTOR null_logger = {.get_name = null_logger_name, .log = null_log};

MEMCACHED_PUBLIC_API void larder_set_log_sink(larder_log_sink sink)
{
    __atomic_store_n(&current_sink, sink, __ATOMIC_RELEASE);
}

MEMCACHED_PUBLIC_API EXTENSION_LOGGER_DESCRIPTOR *larder_logger(void)
{
    return &server_logger;
}

/* The server's log goes to standard error, so a logger of its own would only lose the order of lines. */
MEMCACHED_PUBLIC_API EXTENSION_LOGGER_DESCRIPTOR *get_stderr_logger(void)
{
    return &server_logger;
}

MEMCACHED_PUBLIC_API EXTENSION_LOGGER_DESCRIPTOR *get_null_logger(void)
{
    return &null_logger;
}

MEMCACHED_PUBLIC_API EXTENSION_ERROR_CODE memcached_initialize_stderr_logger(GET_SERVER_API get_server_api)
{
    (void)get_server_api;
    return EXTENSION_SUCCESS;
}

MEMCACHED_PUBLIC_API void vperror(const char *format, ...)
{
    int error = errno;
    char text[LINE_BYTES_MAX] = "";
    va_list arguments;
    va_start(arguments, format);
    int written = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    char reason[256] = "";
    if (strerror_r(error, reason, sizeof reason) != 0) {
        snprintf(reason, sizeof reason, "error %d", error);
    }
    fprintf(stderr, "%s: %s\n", written < 0 ? "(a line that cannot be formatted)" : text, reason);
    errno = error;
}
