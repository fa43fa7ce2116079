/*
 * An engine that answers EWOULDBLOCK at random from every function that may, and judges what the server does then.
 *
 * Configuration:
 *   rate=PERCENT          how often it blocks (50)
 *   errors=PERCENT        how many notifications carry an error (0)
 *   error_status=NUMBER   which (13, TMPFAIL)
 *   seed=NUMBER           of its dice (1)
 *   functions=LIST        which functions block: words of witness.h with commas between (all)
 *   notify=WAY            who notifies, and when (mixed):
 *       thread    a thread made for this call
 *       pool      one thread for all
 *       early     a thread that is through before the function returns
 *       inside    the worker itself, inside the function
 *       twice     the pool, twice
 *       mixed     any of these
 *   strays=PERCENT        after how many answers the pool notifies though nobody waits (0)
 *   ghosts=true           the pool notifies cookies whose ON_DISCONNECT has been (false)
 *   report=FILE           see witness.h
 *
 * A key that begins with `hold:` always blocks, once, until somebody asks for the statistics group `notify`; the group
 * `held` says how many wait. The group `contract` is the witness's.
 */
#define _POSIX_C_SOURCE 200809L

#include <time.h>

#include "witness.h"

/* Nanoseconds a thread takes its time, at most. */
#define PAUSE_NS_MAX 200000
#define HELD_MAX ((size_t)256)

enum way { WAY_THREAD, WAY_POOL, WAY_EARLY, WAY_INSIDE, WAY_TWICE, WAYS };

static const char *const way_names[WAYS] = {"thread", "pool", "early", "inside", "twice"};

struct notification {
    struct notification *next;
    const void *cookie;
    ENGINE_ERROR_CODE status;
    bool expected;
    bool twice;
};

static struct {
    /* Guards all of it but the settings. Never held while the server is called. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t dice;
    struct notification *first;
    struct notification **last;
    bool ending;
    pthread_t pool;
    /* Threads made for one call that are not through. */
    size_t fresh_threads;
    const void *held[HELD_MAX];
    size_t held_count;

    size_t rate;
    size_t errors;
    size_t error_status;
    size_t strays;
    bool ghosts;
    bool blocks[FUNCTIONS];
    enum way way;
} blocking = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static uint64_t roll(uint64_t sides)
{
    pthread_mutex_lock(&blocking.lock);
    uint64_t dice = blocking.dice;
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    blocking.dice = dice;
    pthread_mutex_unlock(&blocking.lock);
    return (dice >> 11) % sides;
}

static void pause_a_little(void)
{
    struct timespec pause = {.tv_nsec = (long)roll(PAUSE_NS_MAX)};
    nanosleep(&pause, NULL);
}

static void notify(const struct notification *notification)
{
    for (int i = 0; i < (notification->twice ? 2 : 1); i++) {
        /* The second of two finds a connection that may wait for something else by then. */
        witness_notification(notification->cookie, notification->status, notification->expected && i == 0);
        engine.server->cookie->notify_io_complete(notification->cookie, notification->status);
    }
}

static struct notification *notification_for(const void *cookie, ENGINE_ERROR_CODE status)
{
    struct notification *notification = calloc(1, sizeof *notification);
    if (notification == NULL) {
        abort();
    }
    notification->cookie = cookie;
    notification->status = status;
    notification->expected = true;
    return notification;
}

static void *run_pool(void *unused)
{
    (void)unused;
    for (;;) {
        pthread_mutex_lock(&blocking.lock);
        while (blocking.first == NULL && !blocking.ending) {
            pthread_cond_wait(&blocking.changed, &blocking.lock);
        }
        struct notification *notification = blocking.first;
        if (notification != NULL) {
            blocking.first = notification->next;
            if (blocking.first == NULL) {
                blocking.last = &blocking.first;
            }
        }
        pthread_mutex_unlock(&blocking.lock);
        if (notification == NULL) {
            return NULL;
        }
        pause_a_little();
        notify(notification);
        free(notification);
    }
}

static void give_to_pool(struct notification *notification)
{
    pthread_mutex_lock(&blocking.lock);
    *blocking.last = notification;
    blocking.last = &notification->next;
    pthread_cond_broadcast(&blocking.changed);
    pthread_mutex_unlock(&blocking.lock);
}

static void *run_fresh(void *argument)
{
    struct notification *notification = argument;
    pause_a_little();
    notify(notification);
    free(notification);
    pthread_mutex_lock(&blocking.lock);
    blocking.fresh_threads--;
    pthread_cond_broadcast(&blocking.changed);
    pthread_mutex_unlock(&blocking.lock);
    return NULL;
}

static void give_to_fresh_thread(struct notification *notification, bool wait_for_it)
{
    pthread_mutex_lock(&blocking.lock);
    blocking.fresh_threads++;
    pthread_mutex_unlock(&blocking.lock);
    pthread_t thread;
    if (pthread_create(&thread, NULL, run_fresh, notification) != 0) {
        abort();
    }
    if (wait_for_it) {
        pthread_join(thread, NULL);
    } else {
        pthread_detach(thread);
    }
}

static void promise(const void *cookie)
{
    bool fails = roll(100) < blocking.errors;
    ENGINE_ERROR_CODE status = fails ? (ENGINE_ERROR_CODE)blocking.error_status : ENGINE_SUCCESS;
    struct notification *notification = notification_for(cookie, status);
    enum way way = blocking.way == WAYS ? (enum way)roll(WAYS) : blocking.way;
    switch (way) {
    case WAY_THREAD:
    case WAY_EARLY:
        give_to_fresh_thread(notification, way == WAY_EARLY);
        break;
    case WAY_INSIDE:
        notify(notification);
        free(notification);
        break;
    default:
        notification->twice = way == WAY_TWICE;
        give_to_pool(notification);
    }
}

static bool keep_held(const void *cookie)
{
    pthread_mutex_lock(&blocking.lock);
    bool has_room = blocking.held_count < HELD_MAX;
    if (has_room) {
        blocking.held[blocking.held_count++] = cookie;
    }
    pthread_mutex_unlock(&blocking.lock);
    return has_room;
}

/* Whether this call is to be answered with EWOULDBLOCK. `is_retry`: it was before. */
static bool decide(const void *cookie, const struct call *call, bool is_retry)
{
    if (!is_retry && call->nkey > 5 && memcmp(call->key, "hold:", 5) == 0) {
        return keep_held(cookie);
    }
    /* A retry may have to wait again, but not for ever. */
    if (!blocking.blocks[call->function] || roll(100) >= (is_retry ? blocking.rate / 4 : blocking.rate)) {
        return false;
    }
    promise(cookie);
    return true;
}

static void stray(const void *cookie)
{
    if (blocking.strays > 0 && roll(100) < blocking.strays) {
        struct notification *notification = notification_for(cookie, ENGINE_SUCCESS);
        notification->expected = false;
        give_to_pool(notification);
    }
}

/* Enters; null: leave at once with EWOULDBLOCK. */
static struct visitor *begin(const void *cookie, struct call call)
{
    pthread_mutex_lock(&witness.lock);
    struct visitor *known = find_visitor(cookie);
    bool is_retry = known->blocked && same_call(&known->waiting, &call);
    pthread_mutex_unlock(&witness.lock);
    struct visitor *visitor = enter(cookie, &call);
    if (decide(cookie, &call, is_retry)) {
        leave(visitor, ENGINE_EWOULDBLOCK);
        return NULL;
    }
    return visitor;
}

static ENGINE_ERROR_CODE end(struct visitor *visitor, ENGINE_ERROR_CODE outcome)
{
    leave(visitor, outcome);
    stray(visitor->cookie);
    return outcome;
}

static void take(struct visitor *visitor, const void *it, bool is_fresh)
{
    pthread_mutex_lock(&witness.lock);
    hold(visitor, it);
    visitor->needs_cas = is_fresh ? it : NULL;
    pthread_mutex_unlock(&witness.lock);
}

static ENGINE_ERROR_CODE blocking_allocate(ENGINE_HANDLE *handle, const void *cookie, item **out, const void *key,
                                           const size_t nkey, const size_t nbytes, const int flags,
                                           const rel_time_t exptime)
{
    judge_key(key, nkey, 0);
    struct visitor *visitor = begin(cookie, call_of(FUNCTION_ALLOCATE, key, nkey, NULL, nbytes));
    if (visitor == NULL) {
        return ENGINE_EWOULDBLOCK;
    }
    ENGINE_ERROR_CODE outcome = base_allocate(handle, cookie, out, key, nkey, nbytes, flags, exptime);
    if (outcome == ENGINE_SUCCESS) {
        take(visitor, *out, true);
    }
    return end(visitor, outcome);
}

static ENGINE_ERROR_CODE blocking_get(ENGINE_HANDLE *handle, const void *cookie, item **out, const void *key,
                                      const int nkey, uint16_t vbucket)
{
    judge_key(key, (size_t)nkey, vbucket);
    judge(*out == NULL, "the output of get is preset to null");
    struct visitor *visitor = begin(cookie, call_of(FUNCTION_GET, key, (size_t)nkey, NULL, 0));
    if (visitor == NULL) {
        /* Outputs mean nothing now. */
        *out = (item *)(uintptr_t)0x10;
        return ENGINE_EWOULDBLOCK;
    }
    ENGINE_ERROR_CODE outcome = base_get(handle, cookie, out, key, nkey, vbucket);
    if (outcome == ENGINE_SUCCESS) {
        take(visitor, *out, false);
    }
    return end(visitor, outcome);
}

static ENGINE_ERROR_CODE blocking_store(ENGINE_HANDLE *handle, const void *cookie, item *it, uint64_t *cas,
                                        ENGINE_STORE_OPERATION operation, uint16_t vbucket)
{
    judge(*cas == 0, "the CAS output of store is preset to 0");
    judge(vbucket == 0, "the vbucket of store is 0");
    pthread_mutex_lock(&witness.lock);
    bool is_held = holds(find_visitor(cookie), it);
    pthread_mutex_unlock(&witness.lock);
    judge(is_held, "store is given an item this connection holds");
    if (!is_held) {
        return ENGINE_FAILED;
    }
    struct stored *stored = it;
    struct call call = call_of(FUNCTION_STORE, stored->bytes, stored->nkey, it, (uint64_t)operation);
    struct visitor *visitor = begin(cookie, call);
    if (visitor == NULL) {
        return ENGINE_EWOULDBLOCK;
    }
    return end(visitor, base_store(handle, cookie, it, cas, operation, vbucket));
}

static ENGINE_ERROR_CODE blocking_remove(ENGINE_HANDLE *handle, const void *cookie, const void *key, const size_t nkey,
                                         uint64_t cas, uint16_t vbucket)
{
    judge_key(key, nkey, vbucket);
    struct visitor *visitor = begin(cookie, call_of(FUNCTION_REMOVE, key, nkey, NULL, cas));
    if (visitor == NULL) {
        return ENGINE_EWOULDBLOCK;
    }
    return end(visitor, base_remove(handle, cookie, key, nkey, cas, vbucket));
}

static ENGINE_ERROR_CODE blocking_arithmetic(ENGINE_HANDLE *handle, const void *cookie, const void *key, const int nkey,
                                             const bool increment, const bool create, const uint64_t delta,
                                             const uint64_t initial, const rel_time_t exptime, uint64_t *cas,
                                             uint64_t *result, uint16_t vbucket)
{
    judge_key(key, (size_t)nkey, vbucket);
    struct call call = call_of(FUNCTION_ARITHMETIC, key, (size_t)nkey, NULL, increment ? delta : ~delta);
    struct visitor *visitor = begin(cookie, call);
    if (visitor == NULL) {
        return ENGINE_EWOULDBLOCK;
    }
    return end(visitor, base_arithmetic(handle, cookie, key, nkey, increment, create, delta, initial, exptime, cas,
                                        result, vbucket));
}

static ENGINE_ERROR_CODE blocking_flush(ENGINE_HANDLE *handle, const void *cookie, time_t when)
{
    struct visitor *visitor = begin(cookie, call_of(FUNCTION_FLUSH, NULL, 0, NULL, (uint64_t)when));
    if (visitor == NULL) {
        return ENGINE_EWOULDBLOCK;
    }
    return end(visitor, base_flush(handle, cookie, when));
}

static void notify_held(void)
{
    const void *held[HELD_MAX];
    pthread_mutex_lock(&blocking.lock);
    size_t count = blocking.held_count;
    memcpy(held, blocking.held, sizeof held);
    blocking.held_count = 0;
    pthread_mutex_unlock(&blocking.lock);
    for (size_t i = 0; i < count; i++) {
        struct notification notification = {.cookie = held[i], .status = ENGINE_SUCCESS, .expected = true};
        notify(&notification);
    }
}

static ENGINE_ERROR_CODE own_stats(ENGINE_HANDLE *handle, const void *cookie, const char *key, int nkey, ADD_STAT add)
{
    if (is_group(key, nkey, "contract")) {
        add_findings(add, cookie);
    } else if (is_group(key, nkey, "held")) {
        pthread_mutex_lock(&blocking.lock);
        size_t count = blocking.held_count;
        pthread_mutex_unlock(&blocking.lock);
        add_number(add, cookie, "held", count);
    } else if (is_group(key, nkey, "notify")) {
        notify_held();
    } else {
        return base_get_stats(handle, cookie, key, nkey, add);
    }
    return ENGINE_SUCCESS;
}

static ENGINE_ERROR_CODE blocking_get_stats(ENGINE_HANDLE *handle, const void *cookie, const char *key, int nkey,
                                            ADD_STAT add)
{
    struct visitor *visitor = begin(cookie, call_of(FUNCTION_STATS, key, (size_t)nkey, NULL, 0));
    if (visitor == NULL) {
        /* What was added before EWOULDBLOCK must not reach the client. */
        add_text(add, cookie, "added_in_vain", "yes");
        return ENGINE_EWOULDBLOCK;
    }
    return end(visitor, own_stats(handle, cookie, key, nkey, add));
}

static ENGINE_ERROR_CODE blocking_command(ENGINE_HANDLE *handle, const void *cookie,
                                          protocol_binary_request_header *request, ADD_RESPONSE response)
{
    size_t length = sizeof request->bytes + ntohl(request->request.bodylen);
    struct call call = call_of(FUNCTION_COMMAND, request->bytes, length, NULL, request->request.opcode);
    struct visitor *visitor = begin(cookie, call);
    if (visitor == NULL) {
        return ENGINE_EWOULDBLOCK;
    }
    return end(visitor, base_unknown_command(handle, cookie, request, response));
}

static void blocking_release(ENGINE_HANDLE *handle, const void *cookie, item *it)
{
    struct call call = call_of(FUNCTION_RELEASE, NULL, 0, it, 0);
    struct visitor *visitor = enter(cookie, &call);
    pthread_mutex_lock(&witness.lock);
    bool was_held = let_go(visitor, it);
    if (!was_held) {
        complain("release is given an item this connection does not hold");
    }
    visitor->in_call = false;
    pthread_mutex_unlock(&witness.lock);
    if (was_held) {
        base_release(handle, cookie, it);
    }
}

static void blocking_set_cas(ENGINE_HANDLE *handle, const void *cookie, item *it, uint64_t cas)
{
    pthread_mutex_lock(&witness.lock);
    struct visitor *visitor = find_visitor(cookie);
    visitor->needs_cas = visitor->needs_cas == it ? NULL : visitor->needs_cas;
    bool is_held = holds(visitor, it);
    pthread_mutex_unlock(&witness.lock);
    judge(is_held, "item_set_cas is given an item this connection holds");
    if (is_held) {
        base_item_set_cas(handle, cookie, it, cas);
    }
}

static bool blocking_get_item_info(ENGINE_HANDLE *handle, const void *cookie, const item *it, item_info *info)
{
    pthread_mutex_lock(&witness.lock);
    struct visitor *visitor = find_visitor(cookie);
    bool is_held = holds(visitor, it);
    bool is_early = visitor->needs_cas == it;
    pthread_mutex_unlock(&witness.lock);
    judge(is_held, "get_item_info is given an item this connection holds");
    judge(!is_early, "get_item_info of a fresh item comes after its item_set_cas");
    judge(info->nvalue >= 1, "get_item_info is offered room for a piece");
    return is_held && base_get_item_info(handle, cookie, it, info);
}

static void ghost(const void *cookie, ENGINE_EVENT_TYPE type, const void *data, const void *own)
{
    (void)type;
    (void)data;
    (void)own;
    struct notification *notification = notification_for(cookie, ENGINE_SUCCESS);
    notification->expected = false;
    give_to_pool(notification);
}

static bool choose_functions(const char *list)
{
    char words[256];
    snprintf(words, sizeof words, "%s", list);
    char *rest = NULL;
    for (char *word = strtok_r(words, ",", &rest); word != NULL; word = strtok_r(NULL, ",", &rest)) {
        int function = 0;
        while (function < FUNCTION_RELEASE && strcmp(word, function_names[function]) != 0) {
            function++;
        }
        if (function == FUNCTION_RELEASE) {
            fprintf(stderr, "blocking: functions=%s: there is no %s\n", list, word);
            return false;
        }
        blocking.blocks[function] = true;
    }
    return true;
}

static bool choose_way(const char *name)
{
    int way = 0;
    while (way < WAYS && strcmp(name, way_names[way]) != 0) {
        way++;
    }
    blocking.way = (enum way)way;
    if (way == WAYS && strcmp(name, "mixed") != 0) {
        fprintf(stderr, "blocking: notify=%s: there is no such way\n", name);
        return false;
    }
    return true;
}

static ENGINE_ERROR_CODE blocking_initialize(ENGINE_HANDLE *handle, const char *config)
{
    (void)handle;
    size_t seed = 1;
    char *functions = NULL;
    char *way = NULL;
    blocking.rate = 50;
    blocking.errors = 0;
    blocking.error_status = ENGINE_TMPFAIL;
    blocking.strays = 0;
    blocking.ghosts = false;
    struct config_item items[] = {
        {.key = "rate", .datatype = DT_SIZE, .value.dt_size = &blocking.rate},
        {.key = "errors", .datatype = DT_SIZE, .value.dt_size = &blocking.errors},
        {.key = "error_status", .datatype = DT_SIZE, .value.dt_size = &blocking.error_status},
        {.key = "seed", .datatype = DT_SIZE, .value.dt_size = &seed},
        {.key = "strays", .datatype = DT_SIZE, .value.dt_size = &blocking.strays},
        {.key = "ghosts", .datatype = DT_BOOL, .value.dt_bool = &blocking.ghosts},
        {.key = "functions", .datatype = DT_STRING, .value.dt_string = &functions},
        {.key = "notify", .datatype = DT_STRING, .value.dt_string = &way},
        {.key = "report", .datatype = DT_STRING, .value.dt_string = &witness.report_path},
        {.key = NULL},
    };
    bool is_right = config == NULL || engine.server->core->parse_config(config, items, stderr) == 0;
    memset(blocking.blocks, functions == NULL, sizeof blocking.blocks);
    is_right = is_right && (functions == NULL || choose_functions(functions));
    is_right = is_right && choose_way(way == NULL ? "mixed" : way);
    free(functions);
    free(way);
    if (!is_right) {
        return ENGINE_EINVAL;
    }
    blocking.dice = seed * 0x9e3779b97f4a7c15u + 1;
    blocking.first = NULL;
    blocking.last = &blocking.first;
    blocking.ending = false;
    base_open();
    witness_begin();
    if (blocking.ghosts) {
        engine.server->callback->register_callback(&engine.table.interface, ON_DISCONNECT, ghost, NULL);
    }
    return pthread_create(&blocking.pool, NULL, run_pool, NULL) == 0 ? ENGINE_SUCCESS : ENGINE_FAILED;
}

static void blocking_destroy(ENGINE_HANDLE *handle, const bool force)
{
    (void)handle;
    if (!engine.initialized) {
        return;
    }
    pthread_mutex_lock(&blocking.lock);
    blocking.ending = true;
    pthread_cond_broadcast(&blocking.changed);
    while (blocking.fresh_threads > 0) {
        pthread_cond_wait(&blocking.changed, &blocking.lock);
    }
    pthread_mutex_unlock(&blocking.lock);
    pthread_join(blocking.pool, NULL);
    uint64_t alive = items_close(&engine.items);
    engine.initialized = false;
    witness_end(force, alive);
}

static void choose_slots(ENGINE_HANDLE_V1 *table)
{
    table->initialize = blocking_initialize;
    table->destroy = blocking_destroy;
    table->allocate = blocking_allocate;
    table->remove = blocking_remove;
    table->release = blocking_release;
    table->get = blocking_get;
    table->store = blocking_store;
    table->flush = blocking_flush;
    table->get_stats = blocking_get_stats;
    table->unknown_command = blocking_command;
    table->item_set_cas = blocking_set_cas;
    table->get_item_info = blocking_get_item_info;
#ifdef ARITHMETIC
    table->arithmetic = blocking_arithmetic;
#endif
    (void)blocking_arithmetic;
}
