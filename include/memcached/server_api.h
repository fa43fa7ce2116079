/*
 * What the server offers to an engine: tables of functions.
 *
 * All of them may be called from any thread and with locks of the engine held; none of them calls the engine. A cookie
 * stands for one client connection: an engine may compare it, keep it, and hang one pointer of its own on it.
 */
#ifndef MEMCACHED_SERVER_API_H
#define MEMCACHED_SERVER_API_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <memcached/allocator_hooks.h>
#include <memcached/callback.h>
#include <memcached/config_parser.h>
#include <memcached/extension.h>
#include <memcached/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The head of every engine; the whole table is in engine.h. */
typedef struct engine_interface {
    /* 1 */
    uint64_t interface;
} ENGINE_HANDLE;

typedef struct {
    /* Offers an extension; larder takes none and answers false. */
    bool (*register_extension)(extension_type_t type, void *extension);
    void (*unregister_extension)(extension_type_t type, void *extension);
    /* The logger for EXTENSION_LOGGER, never null; null for every other kind. */
    void *(*get_extension)(extension_type_t type);
} SERVER_EXTENSION_API;

typedef struct {
    /* Asks to be told of an event. During initialize(); the one registered last is called first. */
#if MEMCACHED_HAS_FLAT_SERVER_TABLE
    void (*register_callback)(ENGINE_EVENT_TYPE type, EVENT_CALLBACK callback, const void *cb_data);
#else
    void (*register_callback)(ENGINE_HANDLE *handle, ENGINE_EVENT_TYPE type, EVENT_CALLBACK callback,
                              const void *cb_data);
#endif
    /* Calls what is registered for an event. */
    void (*perform_callbacks)(ENGINE_EVENT_TYPE type, const void *data, const void *cookie);
} SERVER_CALLBACK_API;

#if MEMCACHED_HAS_FLAT_SERVER_TABLE

/* One table for all. Each function is explained below, at the table that has it in the later layouts. */
typedef struct server_interface_v1 {
    void (*get_auth_data)(const void *cookie, auth_data_t *data);
    void (*store_engine_specific)(const void *cookie, void *engine_data);
    void *(*get_engine_specific)(const void *cookie);
    int (*get_socket_fd)(const void *cookie);
    const char *(*server_version)(void);
    uint32_t (*hash)(const void *data, size_t size, uint32_t seed);
    rel_time_t (*realtime)(time_t exptime);
    void (*notify_io_complete)(const void *cookie, ENGINE_ERROR_CODE status);
    rel_time_t (*get_current_time)(void);
    int (*parse_config)(const char *text, struct config_item items[], FILE *error);
    void *(*new_stats)(void);
    void (*release_stats)(void *stats);
    void (*count_eviction)(const void *cookie, const void *key, int nkey);
} SERVER_HANDLE_V1;

/* What get_server_api() is asked for; it answers null to any other number. */
typedef enum {
    /* SERVER_HANDLE_V1 */
    server_handle_v1 = 1,
    /* SERVER_EXTENSION_API */
    extension_api = 2,
    /* SERVER_CALLBACK_API */
    callback_api = 3
} server_api_t;

typedef void *(*GET_SERVER_API)(server_api_t which);

#else

typedef struct {
    /* The second it is, on the server's clock. */
    rel_time_t (*get_current_time)(void);
    /* From what a client wrote: 0 is never, up to 2592000 counts from now, above that it is Unix time. */
    rel_time_t (*realtime)(const time_t exptime);
    /* To Unix time. */
    time_t (*abstime)(const rel_time_t exptime);
    const char *(*server_version)(void);
    /* The same for the same bytes and seed as long as the process lives, and no longer. */
    uint32_t (*hash)(const void *data, size_t size, uint32_t seed);
    /* See config_parser.h. */
    int (*parse_config)(const char *text, struct config_item items[], FILE *error);
    /* Begins an orderly stop. */
    void (*shutdown)(void);
    /* Looks up settings of the server, by their names in `stats settings`. False: one could not be converted. */
    bool (*get_config)(struct config_item items[]);
} SERVER_CORE_API;

typedef struct {
    /* A block of counters for one tenant, freed with release_stats(). */
    void *(*new_stats)(void);
    void (*release_stats)(void *stats);
    /* An item was removed to make room. The cookie may be null. */
    void (*evicting)(const void *cookie, const void *key, int nkey);
} SERVER_STAT_API;

typedef struct {
    /* Never null. */
    EXTENSION_LOGGER_DESCRIPTOR *(*get_logger)(void);
    EXTENSION_LOG_LEVEL (*get_level)(void);
    void (*set_level)(EXTENSION_LOG_LEVEL severity);
} SERVER_LOG_API;

typedef struct {
    /* The connection's socket, or -1. */
    int (*get_socket_fd)(const void *cookie);
    /* Who the client is: two nulls as long as nobody knows. */
    void (*get_auth_data)(const void *cookie, auth_data_t *data);
    /* Hangs a pointer of the engine's on the connection. Null at first; kept until the connection has ended. */
    void (*store_engine_specific)(const void *cookie, void *engine_data);
    void *(*get_engine_specific)(const void *cookie);
    /*
     * What an engine calls when the work is done for which it answered ENGINE_EWOULDBLOCK. ENGINE_SUCCESS: the server
     * asks again with the same arguments. Any other status becomes the answer. May come before the function has
     * returned, twice, or late.
     */
    void (*notify_io_complete)(const void *cookie, ENGINE_ERROR_CODE status);
#if MEMCACHED_HAS_TAP_NACK_MODE
    void (*set_tap_nack_mode)(const void *cookie, bool enable);
    void (*reserve)(const void *cookie);
    void (*release)(const void *cookie);
#else
    /* Keeps the cookie when its client leaves, until as many release() came: then ON_DISCONNECT comes once more. */
    ENGINE_ERROR_CODE (*reserve)(const void *cookie);
    ENGINE_ERROR_CODE (*release)(const void *cookie);
#endif
} SERVER_COOKIE_API;

/* The tables. They are whole before create_instance() is called and never change or move. */
typedef struct {
    /* 1 */
    uint64_t interface;
    SERVER_CORE_API *core;
    SERVER_STAT_API *stat;
    SERVER_EXTENSION_API *extension;
    SERVER_CALLBACK_API *callback;
    /* The engine itself; null during create_instance(). */
    ENGINE_HANDLE *engine;
    SERVER_LOG_API *log;
    SERVER_COOKIE_API *cookie;
#if MEMCACHED_HAS_ALLOCATOR_HOOKS
    ALLOCATOR_HOOKS_API *alloc_hooks;
#endif
} SERVER_HANDLE_V1;

typedef SERVER_HANDLE_V1 *(*GET_SERVER_API)(void);

#endif

#ifdef __cplusplus
}
#endif

#endif
