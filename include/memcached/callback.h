/* Events an engine can ask to be told of, while it is being initialised. */
#ifndef MEMCACHED_CALLBACK_H
#define MEMCACHED_CALLBACK_H

#include <memcached/profile.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    /* A connection came into being; before any other call with its cookie. */
    ON_CONNECT = 0,
    /* It is gone and every item held for it released. Once more, when a reserved cookie was released. */
    ON_DISCONNECT = 1,
    /* Its client proved who it is: `event_data` is an auth_data_t, good for the time of the call. */
    ON_AUTH = 2,
    /* A worker begins to serve another connection: `event_data` is its cookie. */
    ON_SWITCH_CONN = 3
#if !MEMCACHED_HAS_FLAT_SERVER_TABLE
    ,
    /* The verbosity changed. No cookie, no data. */
    ON_LOG_LEVEL = 4
#endif
} ENGINE_EVENT_TYPE;

/* `cb_data` is what was given at the registration. */
typedef void (*EVENT_CALLBACK)(const void *cookie, ENGINE_EVENT_TYPE type, const void *event_data,
                               const void *cb_data);

/* Who a client is; both null as long as nobody knows. */
typedef struct {
    const char *username;
    const char *config;
} auth_data_t;

#ifdef __cplusplus
}
#endif

#endif
