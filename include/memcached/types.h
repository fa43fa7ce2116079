/*
 * The plain types of the engine interface: results, operations, items.
 *
 * Every enumeration takes four bytes; a bool takes one.
 */
#ifndef MEMCACHED_TYPES_H
#define MEMCACHED_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#include <memcached/profile.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Seconds on the server's own clock, which starts at 2 so that 0 can mean "never". The core table converts:
 * realtime() from what a client wrote, abstime() to Unix time.
 */
typedef uint32_t rel_time_t;

/* An item, known to its engine alone. The server holds pointers to items and gives each back with release(). */
typedef void item;

/* What a function of an engine answers. */
typedef enum {
    ENGINE_SUCCESS = 0x00,
    /* There is no such key. */
    ENGINE_KEY_ENOENT = 0x01,
    /* The key is there, or its item has another CAS. */
    ENGINE_KEY_EEXISTS = 0x02,
    ENGINE_ENOMEM = 0x03,
    /* The condition of the store does not hold. */
    ENGINE_NOT_STORED = 0x04,
    /* Bad argument; in arithmetic: the value is not a number. */
    ENGINE_EINVAL = 0x05,
    ENGINE_ENOTSUP = 0x06,
    /* Not yet: call notify_io_complete() when the work is done, and the server asks again. See engine.h. */
    ENGINE_EWOULDBLOCK = 0x07,
    /* The item is larger than the engine takes. */
    ENGINE_E2BIG = 0x08,
    /* Reserved; an engine does not answer it. */
    ENGINE_WANT_MORE = 0x09,
    /* Close the connection of this client. */
    ENGINE_DISCONNECT = 0x0a,
    ENGINE_EACCESS = 0x0b,
    ENGINE_NOT_MY_VBUCKET = 0x0c,
    /* It may work later. */
    ENGINE_TMPFAIL = 0x0d,
    /* A number is out of range. */
    ENGINE_ERANGE = 0x0e,
    /* Anything else. */
    ENGINE_FAILED = 0xff
} ENGINE_ERROR_CODE;

/* What store() is to do. */
typedef enum {
    OPERATION_ADD = 1,
    OPERATION_SET = 2,
    OPERATION_REPLACE = 3,
    OPERATION_APPEND = 4,
    OPERATION_PREPEND = 5,
    OPERATION_CAS = 6
} ENGINE_STORE_OPERATION;

/* What an engine says it can do; numbers without the top bit are reserved for this list. */
typedef enum {
    ENGINE_FEATURE_CAS = 0,
    ENGINE_FEATURE_PERSISTENT_STORAGE = 1,
    ENGINE_FEATURE_SECONDARY_ENGINE = 2,
    ENGINE_FEATURE_ACCESS_CONTROL = 3,
    ENGINE_FEATURE_MULTI_TENANCY = 4,
    ENGINE_FEATURE_LRU = 5,
    ENGINE_FEATURE_VBUCKET = 6,
    LAST_REGISTERED_ENGINE_FEATURE = 6
} engine_feature_t;

typedef struct {
    uint32_t feature;
    /* A few words, or null. */
    const char *description;
} feature_info;

/* What get_info() gives: as many features as it says, in memory that stays as long as the engine. */
typedef struct {
    const char *description;
    uint32_t num_features;
    feature_info features[1];
} engine_info;

/*
 * What get_item_info() tells of an item.
 *
 * `nvalue` is the room in `value` when the server asks, and the number of pieces used when the engine answers; the
 * pieces together are `nbytes` long. `flags` are four bytes in network order, as given to allocate(). `exptime` is
 * on the server's clock.
 */
typedef struct {
    uint64_t cas;
    rel_time_t exptime;
    uint32_t nbytes;
    uint32_t flags;
    uint8_t clsid;
    uint16_t nkey;
    uint16_t nvalue;
    const void *key;
    struct iovec value[1];
} item_info;

/* A change in a stream of changes. larder has no such streams yet and calls no function for them. */
#if MEMCACHED_ENGINE_PROFILE == MEMCACHED_PROFILE_2010_04
typedef enum {
    TAP_MUTATION = 1,
    TAP_DELETION = 2,
    TAP_FLUSH = 3,
    TAP_OPAQUE = 4,
    TAP_ACK = 5,
    TAP_PAUSE = 6
} tap_event_t;
#else
typedef enum {
    TAP_MUTATION = 1,
    TAP_DELETION = 2,
    TAP_FLUSH = 3,
    TAP_OPAQUE = 4,
    TAP_VBUCKET_SET = 5,
    TAP_ACK = 6,
    TAP_DISCONNECT = 7,
    TAP_NOOP = 8,
    TAP_PAUSE = 9,
    TAP_CHECKPOINT_START = 10,
    TAP_CHECKPOINT_END = 11
} tap_event_t;
#endif

#ifdef __cplusplus
}
#endif

#endif
