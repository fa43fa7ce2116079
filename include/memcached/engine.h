/*
 * The engine interface: what a storage engine in a shared library gives to the server.
 *
 * A library exports one function, create_instance(), and hands out a table of functions. The server checks the table,
 * calls initialize() once, and from then on the other functions from several threads at once: an engine locks for
 * itself. After every worker has stopped it calls destroy(), once, and nothing after that.
 *
 * Not yet. A function that would have to wait (for a disk, for a network) may start the work elsewhere and answer
 * ENGINE_EWOULDBLOCK. The connection rests until some thread of the engine calls notify_io_complete() with its cookie;
 * then the server calls the function again with the same arguments. These may do so: get, allocate, store, remove,
 * arithmetic, get_stats, flush and unknown_command.
 *
 * Items. allocate() and get() hand out a reference, which the server gives back by release(), exactly once. Until the
 * first store() the server writes the value's bytes, afterwards nobody does: a store of another value is another item.
 *
 * Keys are up to 250 bytes, with a NUL behind them that is not counted.
 *
 * larder refuses a table without the functions marked "required"; the others may be null. It does not call functions
 * that point outside the module's own code.
 */
#ifndef MEMCACHED_ENGINE_H
#define MEMCACHED_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include <memcached/protocol_binary.h>
#include <memcached/server_api.h>
#include <memcached/types.h>
#include <memcached/vbucket.h>
#include <memcached/visibility.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ENGINE_INTERFACE_VERSION 1

/* Longest key. */
#define KEY_MAX_LENGTH 250

/* What larder passes for vbuckets, in the profiles that have them. */
#if MEMCACHED_ENGINE_PROFILE == MEMCACHED_PROFILE_2010_04
#define MEMCACHED_VBUCKET_ARGUMENT
#define MEMCACHED_VBUCKET_OUTPUT
#else
#define MEMCACHED_VBUCKET_ARGUMENT , uint16_t vbucket
#define MEMCACHED_VBUCKET_OUTPUT , uint16_t *vbucket
#endif

/* Takes one line of statistics. A `val` need not end in NUL. */
typedef void (*ADD_STAT)(const char *key, const uint16_t klen, const char *val, const uint32_t vlen,
                         const void *cookie);

/* Takes one response to a raw command; numbers in this machine's byte order. False: it could not be kept. */
typedef bool (*ADD_RESPONSE)(const void *key, uint16_t keylen, const void *ext, uint8_t extlen, const void *body,
                             uint32_t bodylen, uint8_t datatype, uint16_t status, uint64_t cas,
                             const void *cookie);

/* Gives the next change of a stream of changes. */
typedef tap_event_t (*TAP_ITERATOR)(ENGINE_HANDLE *handle, const void *cookie, item **out, void **engine_specific,
                                    uint16_t *nengine_specific, uint8_t *ttl, uint16_t *flags,
                                    uint32_t *seqno MEMCACHED_VBUCKET_OUTPUT);

typedef struct engine_interface_v1 {
    struct engine_interface interface;

    /* Required. What the engine is: asked after initialize(), and copied at once. */
    const engine_info *(*get_info)(ENGINE_HANDLE *handle);

    /* Required. `config_str` is the text given with the engine, or null. Anything but success ends the start. */
    ENGINE_ERROR_CODE (*initialize)(ENGINE_HANDLE *handle, const char *config_str);

    /* Required. The end: nobody calls the engine now or later. larder never sets `force`. */
#if MEMCACHED_ENGINE_PROFILE == MEMCACHED_PROFILE_2010_04
    void (*destroy)(ENGINE_HANDLE *handle);
#else
    void (*destroy)(ENGINE_HANDLE *handle, const bool force);
#endif

    /*
     * Required. Makes room for a value of `nbytes`. `flags` are the client's, in network byte order, to be given back
     * untouched. `exptime` is the client's number, for realtime() of the core table (profile 2010-04: converted
     * already, and `nbytes` counts the CR LF that follow the value there).
     */
    ENGINE_ERROR_CODE (*allocate)(ENGINE_HANDLE *handle, const void *cookie, item **out, const void *key,
                                  const size_t nkey, const size_t nbytes, const int flags,
                                  const rel_time_t exptime);

    /* Required. Deletes; a `cas` other than 0 must be the item's. */
    ENGINE_ERROR_CODE (*remove)(ENGINE_HANDLE *handle, const void *cookie, const void *key, const size_t nkey,
                                uint64_t cas MEMCACHED_VBUCKET_ARGUMENT);

    /* Required. Takes one reference back. */
    void (*release)(ENGINE_HANDLE *handle, const void *cookie, item *it);

    /* Required. Finds a key and hands out a reference; ENGINE_KEY_ENOENT and a null item if there is none. */
    ENGINE_ERROR_CODE (*get)(ENGINE_HANDLE *handle, const void *cookie, item **out, const void *key,
                             const int nkey MEMCACHED_VBUCKET_ARGUMENT);

    /*
     * Required. Puts an item in under its key, and its new CAS in `cas`. The CAS to compare with is the item's own, set
     * by item_set_cas(); 0 is none. ADD, REPLACE, APPEND, PREPEND answer ENGINE_NOT_STORED where the key is there or
     * is not; CAS answers ENGINE_KEY_ENOENT where there is no item and ENGINE_KEY_EEXISTS where it has another CAS, as
     * do APPEND and PREPEND with a CAS.
     */
    ENGINE_ERROR_CODE (*store)(ENGINE_HANDLE *handle, const void *cookie, item *it, uint64_t *cas,
                               ENGINE_STORE_OPERATION operation MEMCACHED_VBUCKET_ARGUMENT);

    /*
     * Adds to (`increment`) or takes from a decimal value; with `create` a missing one becomes `initial`. An increment
     * wraps, a decrement stops at 0. Null: the server does it by get, allocate and store.
     */
    ENGINE_ERROR_CODE (*arithmetic)(ENGINE_HANDLE *handle, const void *cookie, const void *key, const int nkey,
                                    const bool increment, const bool create, const uint64_t delta,
                                    const uint64_t initial, const rel_time_t exptime, uint64_t *cas,
                                    uint64_t *result MEMCACHED_VBUCKET_ARGUMENT);

    /* Required. Removes everything: now if `when` is 0, else at the client's number, for realtime(). */
    ENGINE_ERROR_CODE (*flush)(ENGINE_HANDLE *handle, const void *cookie, time_t when);

    /* Required. Lines of statistics, by calls of `add_stat` before it returns. `stat_key` null: the general ones. */
    ENGINE_ERROR_CODE (*get_stats)(ENGINE_HANDLE *handle, const void *cookie, const char *stat_key, int nkey,
                                   ADD_STAT add_stat);

    /* Required. Forgets counters. */
    void (*reset_stats)(ENGINE_HANDLE *handle, const void *cookie);

    /* The block from new_stats() that counts for this client; null for the server's own. */
    void *(*get_stats_struct)(ENGINE_HANDLE *handle, const void *cookie);

    /* Calls `callback` with each block and `dest`. */
    ENGINE_ERROR_CODE (*aggregate_stats)(ENGINE_HANDLE *handle, const void *cookie,
                                         void (*callback)(void *source, void *dest), void *dest);

    /*
     * Carries out a binary command the server does not know; the request lies whole behind its head. Success without
     * a response: nothing is said to the client. An error drops the responses added before it.
     */
    ENGINE_ERROR_CODE (*unknown_command)(ENGINE_HANDLE *handle, const void *cookie,
                                         protocol_binary_request_header *request, ADD_RESPONSE response);

    /* Takes a change from a stream of changes. larder does not call it. */
    ENGINE_ERROR_CODE (*tap_notify)(ENGINE_HANDLE *handle, const void *cookie, void *engine_specific,
                                    uint16_t nengine, uint8_t ttl, uint16_t tap_flags, tap_event_t tap_event,
                                    uint32_t tap_seqno, const void *key, size_t nkey, uint32_t flags,
                                    uint32_t exptime, uint64_t cas, const void *data,
                                    size_t ndata MEMCACHED_VBUCKET_ARGUMENT);

    /* Begins a stream of changes. larder does not call it. */
    TAP_ITERATOR (*get_tap_iterator)(ENGINE_HANDLE *handle, const void *cookie, const void *client, size_t nclient,
                                     uint32_t flags, const void *userdata, size_t nuserdata);

    /* Required. Sets the CAS the client sent, 0 if none; right after allocate(). */
#if MEMCACHED_ENGINE_PROFILE == MEMCACHED_PROFILE_2010_04
    void (*item_set_cas)(ENGINE_HANDLE *handle, item *it, uint64_t cas);
#else
    void (*item_set_cas)(ENGINE_HANDLE *handle, const void *cookie, item *it, uint64_t cas);
#endif

    /*
     * Required. Describes an item. False if `info` has too little room for the pieces; the server offers one when it is
     * about to write the value, which must then be in one piece, and many when it reads.
     */
#if MEMCACHED_ENGINE_PROFILE == MEMCACHED_PROFILE_2010_04
    bool (*get_item_info)(ENGINE_HANDLE *handle, const item *it, item_info *info);
#else
    bool (*get_item_info)(ENGINE_HANDLE *handle, const void *cookie, const item *it, item_info *info);

    /* Writes words for the last error to `buffer`; gives their length. */
    size_t (*errinfo)(ENGINE_HANDLE *handle, const void *cookie, char *buffer, size_t buffsz);
#endif
} ENGINE_HANDLE_V1;

/* What a module exports under the name create_instance. `interface` is ENGINE_INTERFACE_VERSION. */
typedef ENGINE_ERROR_CODE (*CREATE_INSTANCE)(uint64_t interface, GET_SERVER_API get_server_api,
                                             ENGINE_HANDLE **handle);

MEMCACHED_PUBLIC_API
ENGINE_ERROR_CODE create_instance(uint64_t interface, GET_SERVER_API get_server_api, ENGINE_HANDLE **handle);

#ifdef __cplusplus
}
#endif

#endif
