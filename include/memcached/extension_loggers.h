/* Loggers an engine can have without asking the server for one; part of the utilities library. */
#ifndef MEMCACHED_EXTENSION_LOGGERS_H
#define MEMCACHED_EXTENSION_LOGGERS_H

#include <memcached/extension.h>
#include <memcached/server_api.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Writes warnings to standard error. Never null. */
EXTENSION_LOGGER_DESCRIPTOR *get_stderr_logger(void);

/* Writes nothing. Never null. */
EXTENSION_LOGGER_DESCRIPTOR *get_null_logger(void);

/* There is nothing to be done: larder has a logger of its own. Answers EXTENSION_SUCCESS. */
EXTENSION_ERROR_CODE memcached_initialize_stderr_logger(GET_SERVER_API get_server_api);

#ifdef __cplusplus
}
#endif

#endif
