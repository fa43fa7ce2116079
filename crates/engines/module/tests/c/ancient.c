/*
 * An engine as they were in April 2010: one flat server table, no cookie where later layouts have one, values with
 * CR LF behind them, expiry times converted by the server. Its table ends after get_item_info; what follows is its own.
 *
 * Configuration: refuse=true ends the start.
 *
 * Groups of statistics:
 *   contract      whether the server kept to the layout: `violations` and `first`, as other engines here; `exptime` of
 *                 the last item made, and `now`
 *   log           logs a line
 *   notify        answers EWOULDBLOCK once, and notifies from a thread
 */
#define _POSIX_C_SOURCE 200809L
#define MEMCACHED_ENGINE_PROFILE MEMCACHED_PROFILE_2010_04

#include <memcached/engine.h>

#include "items.h"

static struct {
    ENGINE_HANDLE_V1 table;
    /* Where later layouts have errinfo: not to be read as a function. */
    uint64_t own[4];
    SERVER_HANDLE_V1 *server;
    SERVER_EXTENSION_API *extensions;
    SERVER_CALLBACK_API *callbacks;
    struct items items;
    bool initialized;
    /* The rest is under the lock. */
    pthread_mutex_t lock;
    uint64_t violations;
    const char *first;
    uint64_t connects;
    uint64_t disconnects;
    /* Of the last item made, as the server gave it. */
    rel_time_t exptime;
} engine = {.lock = PTHREAD_MUTEX_INITIALIZER, .own = {~0u, ~0u, ~0u, ~0u}};

static void judge(bool is_so, const char *rule)
{
    if (!is_so) {
        pthread_mutex_lock(&engine.lock);
        engine.first = engine.violations++ == 0 ? rule : engine.first;
        pthread_mutex_unlock(&engine.lock);
    }
}

static void count_event(const void *cookie, ENGINE_EVENT_TYPE type, const void *data, const void *own)
{
    (void)data;
    judge(own == &engine, "a callback gets the data it was registered with");
    judge(cookie != NULL, "an event has a cookie");
    pthread_mutex_lock(&engine.lock);
    if (type == ON_CONNECT) {
        engine.connects++;
    } else {
        engine.disconnects++;
    }
    pthread_mutex_unlock(&engine.lock);
}

static const engine_info *ancient_get_info(ENGINE_HANDLE *handle)
{
    (void)handle;
    static engine_info info = {.description = "Ancient engine", .num_features = 1, .features = {{.description = NULL}}};
    return &info;
}

static ENGINE_ERROR_CODE ancient_initialize(ENGINE_HANDLE *handle, const char *config)
{
    (void)handle;
    bool refuse = false;
    struct config_item entries[] = {{.key = "refuse", .datatype = DT_BOOL, .value.dt_bool = &refuse}, {.key = NULL}};
    if (config != NULL && engine.server->parse_config(config, entries, stderr) != 0) {
        return ENGINE_EINVAL;
    }
    if (refuse) {
        return ENGINE_FAILED;
    }
    engine.callbacks->register_callback(ON_CONNECT, count_event, &engine);
    engine.callbacks->register_callback(ON_DISCONNECT, count_event, &engine);
    items_open(&engine.items, engine.server->get_current_time);
    engine.initialized = true;
    return ENGINE_SUCCESS;
}

static void ancient_destroy(ENGINE_HANDLE *handle)
{
    (void)handle;
    if (engine.initialized) {
        items_close(&engine.items);
        engine.initialized = false;
    }
}

static ENGINE_ERROR_CODE ancient_allocate(ENGINE_HANDLE *handle, const void *cookie, item **out, const void *key,
                                          const size_t nkey, const size_t nbytes, const int flags,
                                          const rel_time_t exptime)
{
    (void)handle;
    judge(cookie != NULL, "allocate gets a cookie");
    judge(nbytes >= 2, "allocate counts the CR LF");
    pthread_mutex_lock(&engine.lock);
    engine.exptime = exptime;
    pthread_mutex_unlock(&engine.lock);
    *out = items_make(&engine.items, key, nkey, nbytes, (uint32_t)flags, exptime);
    return *out == NULL ? ENGINE_ENOMEM : ENGINE_SUCCESS;
}

static ENGINE_ERROR_CODE ancient_remove(ENGINE_HANDLE *handle, const void *cookie, const void *key, const size_t nkey,
                                        uint64_t cas)
{
    (void)handle;
    (void)cookie;
    return items_remove(&engine.items, key, nkey, cas);
}

static void ancient_release(ENGINE_HANDLE *handle, const void *cookie, item *it)
{
    (void)handle;
    (void)cookie;
    items_release(&engine.items, it);
}

static ENGINE_ERROR_CODE ancient_get(ENGINE_HANDLE *handle, const void *cookie, item **out, const void *key,
                                     const int nkey)
{
    (void)handle;
    (void)cookie;
    *out = items_get(&engine.items, key, (size_t)nkey);
    return *out == NULL ? ENGINE_KEY_ENOENT : ENGINE_SUCCESS;
}

static bool ends_in_line_end(struct stored *it)
{
    return it->nbytes >= 2 && memcmp(value_of(it) + it->nbytes - 2, "\r\n", 2) == 0;
}

static ENGINE_ERROR_CODE ancient_store(ENGINE_HANDLE *handle, const void *cookie, item *it, uint64_t *cas,
                                       ENGINE_STORE_OPERATION operation)
{
    (void)handle;
    (void)cookie;
    struct stored *stored = it;
    judge(ends_in_line_end(stored), "a value ends in CR LF when it is stored");
    if (operation != OPERATION_APPEND && operation != OPERATION_PREPEND) {
        return items_store(&engine.items, stored, cas, operation);
    }
    /* The first of the two loses its line end, in a copy: the item is the server's, and others may hold the old one. */
    struct stored *current = items_get(&engine.items, stored->bytes, stored->nkey);
    if (current == NULL) {
        return ENGINE_NOT_STORED;
    }
    bool behind = operation == OPERATION_APPEND;
    struct stored *one = behind ? current : stored;
    struct stored *two = behind ? stored : current;
    struct stored *both = items_make(&engine.items, stored->bytes, stored->nkey, (size_t)one->nbytes - 2 + two->nbytes,
                                     current->flags, current->exptime);
    if (both == NULL) {
        items_release(&engine.items, current);
        return ENGINE_ENOMEM;
    }
    memcpy(value_of(both), value_of(one), one->nbytes - 2);
    memcpy(value_of(both) + one->nbytes - 2, value_of(two), two->nbytes);
    both->cas = stored->cas != 0 ? stored->cas : current->cas;
    ENGINE_ERROR_CODE outcome = items_store(&engine.items, both, cas, OPERATION_CAS);
    items_release(&engine.items, current);
    items_release(&engine.items, both);
    return outcome;
}

static ENGINE_ERROR_CODE ancient_flush(ENGINE_HANDLE *handle, const void *cookie, time_t when)
{
    (void)handle;
    (void)cookie;
    items_flush(&engine.items, engine.server->realtime(when));
    return ENGINE_SUCCESS;
}

static void add_text(ADD_STAT add, const void *cookie, const char *name, const char *text)
{
    add(name, (uint16_t)strlen(name), text, (uint32_t)strlen(text), cookie);
}

static void add_number(ADD_STAT add, const void *cookie, const char *name, uint64_t number)
{
    char text[NUMBER_BYTES_MAX];
    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    add_text(add, cookie, name, text);
}

static void *notify_success(void *cookie)
{
    engine.server->notify_io_complete(cookie, ENGINE_SUCCESS);
    return NULL;
}

static ENGINE_ERROR_CODE block_once(const void *cookie)
{
    /* The private pointer is all that tells the second call from the first. */
    if (engine.server->get_engine_specific(cookie) == &engine) {
        engine.server->store_engine_specific(cookie, NULL);
        return ENGINE_SUCCESS;
    }
    engine.server->store_engine_specific(cookie, &engine);
    pthread_t thread;
    if (pthread_create(&thread, NULL, notify_success, (void *)(uintptr_t)cookie) != 0) {
        abort();
    }
    pthread_detach(thread);
    return ENGINE_EWOULDBLOCK;
}

static bool is_group(const char *stat_key, int nkey, const char *name)
{
    return stat_key != NULL && (size_t)nkey == strlen(name) && memcmp(stat_key, name, (size_t)nkey) == 0;
}

static ENGINE_ERROR_CODE ancient_get_stats(ENGINE_HANDLE *handle, const void *cookie, const char *stat_key, int nkey,
                                           ADD_STAT add)
{
    (void)handle;
    if (stat_key == NULL) {
        add_number(add, cookie, "items_alive", __atomic_load_n(&engine.items.alive, __ATOMIC_RELAXED));
    } else if (is_group(stat_key, nkey, "contract")) {
        pthread_mutex_lock(&engine.lock);
        uint64_t violations = engine.violations;
        const char *first = engine.first;
        uint64_t connects = engine.connects;
        uint64_t disconnects = engine.disconnects;
        rel_time_t exptime = engine.exptime;
        pthread_mutex_unlock(&engine.lock);
        add_number(add, cookie, "violations", violations);
        add_text(add, cookie, "first", first == NULL ? "none" : first);
        add_number(add, cookie, "connects", connects);
        add_number(add, cookie, "disconnects", disconnects);
        add_number(add, cookie, "exptime", exptime);
        add_number(add, cookie, "now", engine.server->get_current_time());
    } else if (is_group(stat_key, nkey, "log")) {
        EXTENSION_LOGGER_DESCRIPTOR *logger = engine.extensions->get_extension(EXTENSION_LOGGER);
        logger->log(EXTENSION_LOG_WARNING, cookie, "ancient says %d", 2010);
    } else if (is_group(stat_key, nkey, "notify")) {
        return block_once(cookie);
    } else {
        return ENGINE_KEY_ENOENT;
    }
    return ENGINE_SUCCESS;
}

static void ancient_reset_stats(ENGINE_HANDLE *handle, const void *cookie)
{
    (void)handle;
    (void)cookie;
}

static void ancient_set_cas(ENGINE_HANDLE *handle, item *it, uint64_t cas)
{
    (void)handle;
    ((struct stored *)it)->cas = cas;
}

static bool ancient_get_item_info(ENGINE_HANDLE *handle, const item *it, item_info *info)
{
    (void)handle;
    const struct stored *stored = it;
    if (info->nvalue < 1) {
        return false;
    }
    info->cas = stored->cas;
    info->exptime = stored->exptime;
    info->nbytes = stored->nbytes;
    info->flags = stored->flags;
    info->clsid = 0;
    info->nkey = stored->nkey;
    info->key = stored->bytes;
    info->nvalue = 1;
    info->value[0].iov_base = (char *)stored->bytes + stored->nkey;
    info->value[0].iov_len = stored->nbytes;
    return true;
}

MEMCACHED_PUBLIC_API
ENGINE_ERROR_CODE create_instance(uint64_t interface, GET_SERVER_API get_server_api, ENGINE_HANDLE **handle)
{
    engine.server = get_server_api(server_handle_v1);
    engine.extensions = get_server_api(extension_api);
    engine.callbacks = get_server_api(callback_api);
    if (interface != 1 || engine.server == NULL || engine.extensions == NULL || engine.callbacks == NULL) {
        return ENGINE_ENOTSUP;
    }
    judge(get_server_api((server_api_t)9) == NULL, "there is no server table of number 9");
    engine.table = (ENGINE_HANDLE_V1){
        .interface = {.interface = 1},
        .get_info = ancient_get_info,
        .initialize = ancient_initialize,
        .destroy = ancient_destroy,
        .allocate = ancient_allocate,
        .remove = ancient_remove,
        .release = ancient_release,
        .get = ancient_get,
        .store = ancient_store,
        .flush = ancient_flush,
        .get_stats = ancient_get_stats,
        .reset_stats = ancient_reset_stats,
        .item_set_cas = ancient_set_cas,
        .get_item_info = ancient_get_item_info,
    };
    *handle = &engine.table.interface;
    return ENGINE_SUCCESS;
}
