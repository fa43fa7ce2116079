/*
 * Items with counted references in a hash table: what the engines of this folder have in common. Nothing here knows the
 * engine interface but its types.
 *
 * A table holds one reference of each item it has; whoever gets an item holds another. Links are under the lock of
 * the item's stripe, references are atomic.
 */
#ifndef LARDER_TEST_ITEMS_H
#define LARDER_TEST_ITEMS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <memcached/types.h>

/* A bucket belongs to one stripe, since the one number divides the other. */
#define BUCKETS ((size_t)1 << 18)
#define STRIPES ((size_t)256)
/* Longest decimal number with its end. */
#define NUMBER_BYTES_MAX 24

struct stored {
    struct stored *next;
    uint64_t hash;
    uint64_t cas;
    uint32_t references;
    uint32_t nbytes;
    uint32_t flags;
    rel_time_t exptime;
    rel_time_t stored_at;
    uint16_t nkey;
    bool linked;
    /* Key and value. */
    char bytes[];
};

struct items {
    pthread_mutex_t locks[STRIPES];
    struct stored **buckets;
    /* The last CAS given. Atomic, and it stays above 0. */
    uint64_t last_cas;
    /* From this second on, what was stored before it is gone; 0: no such second. Atomic. */
    rel_time_t flush_at;
    /* Items in memory, linked or not. Atomic. */
    uint64_t alive;
    rel_time_t (*now)(void);
};

static inline char *value_of(struct stored *it)
{
    return it->bytes + it->nkey;
}

static inline void items_open(struct items *items, rel_time_t (*now)(void))
{
    for (size_t i = 0; i < STRIPES; i++) {
        pthread_mutex_init(&items->locks[i], NULL);
    }
    items->buckets = calloc(BUCKETS, sizeof *items->buckets);
    if (items->buckets == NULL) {
        abort();
    }
    items->last_cas = 0;
    items->flush_at = 0;
    items->alive = 0;
    items->now = now;
}

static inline uint64_t hash_of(const void *key, size_t nkey)
{
    const unsigned char *bytes = key;
    uint64_t hash = nkey;
    for (; nkey >= 8; nkey -= 8, bytes += 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    uint64_t rest = 0;
    memcpy(&rest, bytes, nkey);
    hash = (hash ^ rest) * 0x9e3779b97f4a7c15u;
    return hash ^ (hash >> 32);
}

static inline pthread_mutex_t *stripe(struct items *items, uint64_t hash)
{
    return &items->locks[hash % STRIPES];
}

static inline struct stored **bucket_of(struct items *items, uint64_t hash)
{
    return &items->buckets[hash % BUCKETS];
}

/* An item nobody else knows, with one reference. Null: out of memory. */
static inline struct stored *items_make(struct items *items, const void *key, size_t nkey, size_t nbytes,
                                        uint32_t flags, rel_time_t exptime)
{
    struct stored *it = malloc(sizeof *it + nkey + nbytes);
    if (it == NULL) {
        return NULL;
    }
    *it = (struct stored){.hash = hash_of(key, nkey), .references = 1, .nbytes = (uint32_t)nbytes};
    it->flags = flags;
    it->exptime = exptime;
    it->nkey = (uint16_t)nkey;
    memcpy(it->bytes, key, nkey);
    __atomic_add_fetch(&items->alive, 1, __ATOMIC_RELAXED);
    return it;
}

static inline void items_release(struct items *items, struct stored *it)
{
    if (__atomic_sub_fetch(&it->references, 1, __ATOMIC_ACQ_REL) == 0) {
        __atomic_sub_fetch(&items->alive, 1, __ATOMIC_RELAXED);
        free(it);
    }
}

static inline bool is_over(struct items *items, const struct stored *it, rel_time_t now)
{
    rel_time_t exptime = __atomic_load_n(&it->exptime, __ATOMIC_RELAXED);
    rel_time_t flush_at = __atomic_load_n(&items->flush_at, __ATOMIC_RELAXED);
    return (exptime != 0 && exptime <= now) || (flush_at != 0 && flush_at <= now && it->stored_at < flush_at);
}

/* Takes the item out of the table. */
static inline void unlink_at(struct items *items, struct stored **place)
{
    struct stored *it = *place;
    *place = it->next;
    it->next = NULL;
    it->linked = false;
    items_release(items, it);
}

/* Where the living item of a key hangs, or null; one that is over is taken out. Under the lock. */
static inline struct stored **find_place(struct items *items, uint64_t hash, const void *key, size_t nkey)
{
    struct stored **place = bucket_of(items, hash);
    for (; *place != NULL; place = &(*place)->next) {
        struct stored *it = *place;
        if (it->hash != hash || it->nkey != nkey || memcmp(it->bytes, key, nkey) != 0) {
            continue;
        }
        if (!is_over(items, it, items->now())) {
            return place;
        }
        unlink_at(items, place);
        return NULL;
    }
    return NULL;
}

static inline struct stored *items_get(struct items *items, const void *key, size_t nkey)
{
    uint64_t hash = hash_of(key, nkey);
    pthread_mutex_lock(stripe(items, hash));
    struct stored **place = find_place(items, hash, key, nkey);
    struct stored *it = place == NULL ? NULL : *place;
    if (it != NULL) {
        __atomic_add_fetch(&it->references, 1, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(stripe(items, hash));
    return it;
}

/* Puts an item in, in the place of another or in front. Under the lock. */
static inline void link_item(struct items *items, struct stored *it, struct stored **place)
{
    if (place != NULL) {
        unlink_at(items, place);
    }
    struct stored **bucket = bucket_of(items, it->hash);
    it->cas = __atomic_add_fetch(&items->last_cas, 1, __ATOMIC_RELAXED);
    it->stored_at = items->now();
    it->linked = true;
    it->next = *bucket;
    *bucket = it;
    __atomic_add_fetch(&it->references, 1, __ATOMIC_RELAXED);
}

/* `current` with the value of `it` behind or before its own. */
static inline struct stored *joined(struct items *items, struct stored *current, struct stored *it, bool behind)
{
    struct stored *both = items_make(items, current->bytes, current->nkey, (size_t)current->nbytes + it->nbytes,
                                     current->flags, current->exptime);
    if (both != NULL) {
        memcpy(value_of(both) + (behind ? 0 : it->nbytes), value_of(current), current->nbytes);
        memcpy(value_of(both) + (behind ? current->nbytes : 0), value_of(it), it->nbytes);
    }
    return both;
}

static inline ENGINE_ERROR_CODE may_store(const struct stored *it, const struct stored *current,
                                          ENGINE_STORE_OPERATION operation)
{
    bool joins = operation == OPERATION_APPEND || operation == OPERATION_PREPEND;
    if (operation == OPERATION_ADD && current != NULL) {
        return ENGINE_NOT_STORED;
    }
    if ((operation == OPERATION_REPLACE || joins) && current == NULL) {
        return ENGINE_NOT_STORED;
    }
    if (operation == OPERATION_CAS && current == NULL) {
        return ENGINE_KEY_ENOENT;
    }
    bool compares = operation == OPERATION_CAS || (joins && it->cas != 0);
    return compares && it->cas != current->cas ? ENGINE_KEY_EEXISTS : ENGINE_SUCCESS;
}

static inline ENGINE_ERROR_CODE items_store(struct items *items, struct stored *it, uint64_t *cas,
                                            ENGINE_STORE_OPERATION operation)
{
    pthread_mutex_lock(stripe(items, it->hash));
    struct stored **place = find_place(items, it->hash, it->bytes, it->nkey);
    ENGINE_ERROR_CODE outcome = may_store(it, place == NULL ? NULL : *place, operation);
    struct stored *fresh = it;
    if (outcome == ENGINE_SUCCESS && (operation == OPERATION_APPEND || operation == OPERATION_PREPEND)) {
        fresh = joined(items, *place, it, operation == OPERATION_APPEND);
        outcome = fresh == NULL ? ENGINE_ENOMEM : ENGINE_SUCCESS;
    }
    if (outcome == ENGINE_SUCCESS) {
        link_item(items, fresh, place);
        *cas = fresh->cas;
        it->cas = fresh->cas;
        if (fresh != it) {
            items_release(items, fresh);
        }
    }
    pthread_mutex_unlock(stripe(items, it->hash));
    return outcome;
}

static inline ENGINE_ERROR_CODE items_remove(struct items *items, const void *key, size_t nkey, uint64_t cas)
{
    uint64_t hash = hash_of(key, nkey);
    ENGINE_ERROR_CODE outcome = ENGINE_SUCCESS;
    pthread_mutex_lock(stripe(items, hash));
    struct stored **place = find_place(items, hash, key, nkey);
    if (place == NULL) {
        outcome = ENGINE_KEY_ENOENT;
    } else if (cas != 0 && cas != (*place)->cas) {
        outcome = ENGINE_KEY_EEXISTS;
    } else {
        unlink_at(items, place);
    }
    pthread_mutex_unlock(stripe(items, hash));
    return outcome;
}

/* Gives an item another expiry; a reference to it, or null. */
static inline struct stored *items_touch(struct items *items, const void *key, size_t nkey, rel_time_t exptime)
{
    struct stored *it = items_get(items, key, nkey);
    if (it != NULL) {
        __atomic_store_n(&it->exptime, exptime, __ATOMIC_RELAXED);
    }
    return it;
}

/* Whether the value is a decimal number, and which. */
static inline bool number_in(struct stored *it, uint64_t *number)
{
    char text[NUMBER_BYTES_MAX] = "";
    if (it->nbytes == 0 || it->nbytes > 20) {
        return false;
    }
    memcpy(text, value_of(it), it->nbytes);
    for (uint32_t i = 0; i < it->nbytes; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
    }
    *number = strtoull(text, NULL, 10);
    return true;
}

struct sum {
    bool increment;
    bool create;
    uint64_t delta;
    uint64_t initial;
    rel_time_t exptime;
};

static inline ENGINE_ERROR_CODE items_arithmetic(struct items *items, const void *key, size_t nkey,
                                                 const struct sum *sum, uint64_t *cas, uint64_t *result)
{
    uint64_t hash = hash_of(key, nkey);
    ENGINE_ERROR_CODE outcome = ENGINE_SUCCESS;
    pthread_mutex_lock(stripe(items, hash));
    struct stored **place = find_place(items, hash, key, nkey);
    struct stored *current = place == NULL ? NULL : *place;
    uint64_t number = 0;
    if (current == NULL && !sum->create) {
        outcome = ENGINE_KEY_ENOENT;
    } else if (current == NULL) {
        number = sum->initial;
    } else if (!number_in(current, &number)) {
        outcome = ENGINE_EINVAL;
    } else if (sum->increment) {
        number += sum->delta;
    } else {
        number = number < sum->delta ? 0 : number - sum->delta;
    }
    if (outcome == ENGINE_SUCCESS) {
        char text[NUMBER_BYTES_MAX];
        int length = snprintf(text, sizeof text, "%llu", (unsigned long long)number);
        struct stored *fresh = items_make(items, key, nkey, (size_t)length, current == NULL ? 0 : current->flags,
                                          current == NULL ? sum->exptime : current->exptime);
        if (fresh == NULL) {
            outcome = ENGINE_ENOMEM;
        } else {
            memcpy(value_of(fresh), text, (size_t)length);
            link_item(items, fresh, place);
            *cas = fresh->cas;
            *result = number;
            items_release(items, fresh);
        }
    }
    pthread_mutex_unlock(stripe(items, hash));
    return outcome;
}

/* Removes what is over, and with `all` everything stored up to now. */
static inline void items_sweep(struct items *items, bool all)
{
    uint64_t last = __atomic_load_n(&items->last_cas, __ATOMIC_RELAXED);
    rel_time_t now = items->now();
    for (size_t first = 0; first < STRIPES; first++) {
        pthread_mutex_lock(&items->locks[first]);
        for (size_t bucket = first; bucket < BUCKETS; bucket += STRIPES) {
            for (struct stored **place = &items->buckets[bucket]; *place != NULL;) {
                if ((all && (*place)->cas <= last) || is_over(items, *place, now)) {
                    unlink_at(items, place);
                } else {
                    place = &(*place)->next;
                }
            }
        }
        pthread_mutex_unlock(&items->locks[first]);
    }
}

/* `when` on the server's clock; 0: now. A flush that waits is replaced. */
static inline void items_flush(struct items *items, rel_time_t when)
{
    bool at_once = when <= items->now();
    items_sweep(items, at_once);
    __atomic_store_n(&items->flush_at, at_once ? 0 : when, __ATOMIC_RELAXED);
}

/* The end: gives the number of items somebody else still holds. */
static inline uint64_t items_close(struct items *items)
{
    items_sweep(items, true);
    free(items->buckets);
    return __atomic_load_n(&items->alive, __ATOMIC_RELAXED);
}

#endif
