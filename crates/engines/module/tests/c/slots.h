/*
 * The slots of an engine over items.h, for those that want to change only a few of them, in the newer layouts.
 *
 * A file that includes this defines `static void choose_slots(ENGINE_HANDLE_V1 *table)`, and gets create_instance().
 */
#ifndef LARDER_TEST_SLOTS_H
#define LARDER_TEST_SLOTS_H

#include <arpa/inet.h>

#include <memcached/engine.h>

#include "items.h"

/* One engine a module, in memory that stays: what is called after the end is still there to complain. */
static struct {
    ENGINE_HANDLE_V1 table;
    SERVER_HANDLE_V1 *server;
    struct items items;
    bool initialized;
    /* Atomic. */
    uint64_t gets;
} engine;

/* How an engine is put together; called by create_instance() with the table filled in. */
static void choose_slots(ENGINE_HANDLE_V1 *table);

static struct {
    engine_info info;
    feature_info more[1];
} description = {
    .info = {.description = "Test engine", .num_features = 2, .features = {{ENGINE_FEATURE_CAS, "compare and swap"}}},
    .more = {{ENGINE_FEATURE_MULTI_TENANCY, NULL}},
};

static inline const engine_info *base_get_info(ENGINE_HANDLE *handle)
{
    (void)handle;
    return &description.info;
}

static inline void base_open(void)
{
    items_open(&engine.items, engine.server->core->get_current_time);
    engine.initialized = true;
}

static inline ENGINE_ERROR_CODE base_initialize(ENGINE_HANDLE *handle, const char *config)
{
    (void)handle;
    (void)config;
    base_open();
    return ENGINE_SUCCESS;
}

static inline void base_destroy(ENGINE_HANDLE *handle, const bool force)
{
    (void)handle;
    (void)force;
    if (engine.initialized) {
        items_close(&engine.items);
        engine.initialized = false;
    }
}

static inline ENGINE_ERROR_CODE base_allocate(ENGINE_HANDLE *handle, const void *cookie, item **out, const void *key,
                                              const size_t nkey, const size_t nbytes, const int flags,
                                              const rel_time_t exptime)
{
    (void)handle;
    (void)cookie;
    if (nbytes > (size_t)1 << 30) {
        return ENGINE_E2BIG;
    }
    rel_time_t expires = engine.server->core->realtime((time_t)exptime);
    *out = items_make(&engine.items, key, nkey, nbytes, (uint32_t)flags, expires);
    return *out == NULL ? ENGINE_ENOMEM : ENGINE_SUCCESS;
}

static inline ENGINE_ERROR_CODE base_remove(ENGINE_HANDLE *handle, const void *cookie, const void *key,
                                            const size_t nkey, uint64_t cas, uint16_t vbucket)
{
    (void)handle;
    (void)cookie;
    (void)vbucket;
    return items_remove(&engine.items, key, nkey, cas);
}

static inline void base_release(ENGINE_HANDLE *handle, const void *cookie, item *it)
{
    (void)handle;
    (void)cookie;
    items_release(&engine.items, it);
}

static inline ENGINE_ERROR_CODE base_get(ENGINE_HANDLE *handle, const void *cookie, item **out, const void *key,
                                         const int nkey, uint16_t vbucket)
{
    (void)handle;
    (void)cookie;
    (void)vbucket;
    __atomic_add_fetch(&engine.gets, 1, __ATOMIC_RELAXED);
    *out = items_get(&engine.items, key, (size_t)nkey);
    return *out == NULL ? ENGINE_KEY_ENOENT : ENGINE_SUCCESS;
}

static inline ENGINE_ERROR_CODE base_store(ENGINE_HANDLE *handle, const void *cookie, item *it, uint64_t *cas,
                                           ENGINE_STORE_OPERATION operation, uint16_t vbucket)
{
    (void)handle;
    (void)cookie;
    (void)vbucket;
    return items_store(&engine.items, it, cas, operation);
}

static inline ENGINE_ERROR_CODE base_arithmetic(ENGINE_HANDLE *handle, const void *cookie, const void *key,
                                                const int nkey, const bool increment, const bool create,
                                                const uint64_t delta, const uint64_t initial,
                                                const rel_time_t exptime, uint64_t *cas, uint64_t *result,
                                                uint16_t vbucket)
{
    (void)handle;
    (void)cookie;
    (void)vbucket;
    struct sum sum = {.increment = increment, .create = create, .delta = delta, .initial = initial};
    sum.exptime = engine.server->core->realtime((time_t)exptime);
    return items_arithmetic(&engine.items, key, (size_t)nkey, &sum, cas, result);
}

static inline ENGINE_ERROR_CODE base_flush(ENGINE_HANDLE *handle, const void *cookie, time_t when)
{
    (void)handle;
    (void)cookie;
    items_flush(&engine.items, engine.server->core->realtime(when));
    return ENGINE_SUCCESS;
}

static inline void add_text(ADD_STAT add_stat, const void *cookie, const char *name, const char *text)
{
    add_stat(name, (uint16_t)strlen(name), text, (uint32_t)strlen(text), cookie);
}

static inline void add_number(ADD_STAT add_stat, const void *cookie, const char *name, uint64_t number)
{
    char text[NUMBER_BYTES_MAX];
    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    add_text(add_stat, cookie, name, text);
}

/* Whether a group of statistics is the one asked for; null: the general one. */
static inline bool is_group(const char *stat_key, int nkey, const char *name)
{
    if (stat_key == NULL || name == NULL) {
        return (stat_key == NULL || nkey == 0) && name == NULL;
    }
    return (size_t)nkey == strlen(name) && memcmp(stat_key, name, (size_t)nkey) == 0;
}

static inline ENGINE_ERROR_CODE base_get_stats(ENGINE_HANDLE *handle, const void *cookie, const char *stat_key,
                                               int nkey, ADD_STAT add_stat)
{
    (void)handle;
    if (!is_group(stat_key, nkey, NULL)) {
        return ENGINE_KEY_ENOENT;
    }
    add_number(add_stat, cookie, "items_alive", __atomic_load_n(&engine.items.alive, __ATOMIC_RELAXED));
    add_number(add_stat, cookie, "engine_gets", __atomic_load_n(&engine.gets, __ATOMIC_RELAXED));
    return ENGINE_SUCCESS;
}

static inline void base_reset_stats(ENGINE_HANDLE *handle, const void *cookie)
{
    (void)handle;
    (void)cookie;
    __atomic_store_n(&engine.gets, 0, __ATOMIC_RELAXED);
}

/* A command of this engine alone: stores the packet's value under its key. */
#define OPCODE_PUT 0xb0

static inline ENGINE_ERROR_CODE base_put(const protocol_binary_request_header *request, const void *cookie,
                                         ADD_RESPONSE response)
{
    uint16_t nkey = ntohs(request->request.keylen);
    const uint8_t *key = request->bytes + sizeof request->bytes + request->request.extlen;
    uint32_t nbytes = ntohl(request->request.bodylen) - request->request.extlen - nkey;
    struct stored *it = items_make(&engine.items, key, nkey, nbytes, 0, 0);
    if (it == NULL) {
        return ENGINE_ENOMEM;
    }
    memcpy(value_of(it), key + nkey, nbytes);
    uint64_t cas = 0;
    ENGINE_ERROR_CODE outcome = items_store(&engine.items, it, &cas, OPERATION_SET);
    items_release(&engine.items, it);
    if (outcome == ENGINE_SUCCESS) {
        response(NULL, 0, NULL, 0, NULL, 0, PROTOCOL_BINARY_RAW_BYTES, PROTOCOL_BINARY_RESPONSE_SUCCESS, cas, cookie);
    }
    return outcome;
}

/* TOUCH, GAT and GATQ, and the engine's own; the rest is unknown. */
static inline ENGINE_ERROR_CODE base_unknown_command(ENGINE_HANDLE *handle, const void *cookie,
                                                     protocol_binary_request_header *request, ADD_RESPONSE response)
{
    (void)handle;
    uint8_t opcode = request->request.opcode;
    bool touches = opcode == PROTOCOL_BINARY_CMD_TOUCH;
    bool gets = opcode == PROTOCOL_BINARY_CMD_GAT || opcode == PROTOCOL_BINARY_CMD_GATQ;
    if (opcode == OPCODE_PUT) {
        return base_put(request, cookie, response);
    }
    if (!touches && !gets) {
        return ENGINE_ENOTSUP;
    }
    uint32_t exptime = 0;
    if (request->request.extlen != sizeof exptime) {
        return ENGINE_EINVAL;
    }
    const uint8_t *extras = request->bytes + sizeof request->bytes;
    memcpy(&exptime, extras, sizeof exptime);
    rel_time_t expires = engine.server->core->realtime((time_t)ntohl(exptime));
    uint16_t nkey = ntohs(request->request.keylen);
    struct stored *it = items_touch(&engine.items, extras + sizeof exptime, nkey, expires);
    if (it == NULL) {
        bool silent = opcode == PROTOCOL_BINARY_CMD_GATQ;
        return silent ? ENGINE_SUCCESS : ENGINE_KEY_ENOENT;
    }
    if (gets) {
        response(NULL, 0, &it->flags, sizeof it->flags, value_of(it), it->nbytes, PROTOCOL_BINARY_RAW_BYTES,
                 PROTOCOL_BINARY_RESPONSE_SUCCESS, it->cas, cookie);
    } else {
        response(NULL, 0, NULL, 0, NULL, 0, PROTOCOL_BINARY_RAW_BYTES, PROTOCOL_BINARY_RESPONSE_SUCCESS, it->cas,
                 cookie);
    }
    items_release(&engine.items, it);
    return ENGINE_SUCCESS;
}

static inline void base_item_set_cas(ENGINE_HANDLE *handle, const void *cookie, item *it, uint64_t cas)
{
    (void)handle;
    (void)cookie;
    ((struct stored *)it)->cas = cas;
}

static inline void describe(const struct stored *it, item_info *info)
{
    info->cas = it->cas;
    info->exptime = __atomic_load_n(&it->exptime, __ATOMIC_RELAXED);
    info->nbytes = it->nbytes;
    info->flags = it->flags;
    info->clsid = 1;
    info->nkey = it->nkey;
    info->key = it->bytes;
}

static inline bool base_get_item_info(ENGINE_HANDLE *handle, const void *cookie, const item *it, item_info *info)
{
    (void)handle;
    (void)cookie;
    if (info->nvalue < 1) {
        return false;
    }
    const struct stored *stored = it;
    describe(stored, info);
    info->nvalue = 1;
    info->value[0].iov_base = (char *)stored->bytes + stored->nkey;
    info->value[0].iov_len = stored->nbytes;
    return true;
}

MEMCACHED_PUBLIC_API
ENGINE_ERROR_CODE create_instance(uint64_t interface, GET_SERVER_API get_server_api, ENGINE_HANDLE **handle)
{
#ifdef REFUSES
    return ENGINE_ENOTSUP;
#endif
#ifdef NULL_HANDLE
    *handle = NULL;
    return ENGINE_SUCCESS;
#endif
    engine.server = get_server_api();
    if (interface != 1 || engine.server == NULL) {
        return ENGINE_ENOTSUP;
    }
    engine.table = (ENGINE_HANDLE_V1){
        .interface = {.interface = 1},
        .get_info = base_get_info,
        .initialize = base_initialize,
        .destroy = base_destroy,
        .allocate = base_allocate,
        .remove = base_remove,
        .release = base_release,
        .get = base_get,
        .store = base_store,
        .flush = base_flush,
        .get_stats = base_get_stats,
        .reset_stats = base_reset_stats,
        .unknown_command = base_unknown_command,
        .item_set_cas = base_item_set_cas,
        .get_item_info = base_get_item_info,
    };
    choose_slots(&engine.table);
    *handle = &engine.table.interface;
    return ENGINE_SUCCESS;
}

#endif
