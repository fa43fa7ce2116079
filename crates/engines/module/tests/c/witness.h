/*
 * A witness: sees every call of the server to an engine and says which of the interface's rules it broke.
 *
 *  - no call with a cookie before ON_CONNECT, and none after the last ON_DISCONNECT
 *  - calls with one cookie never overlap, and come from one thread; no more threads than the setting num_threads
 *  - after EWOULDBLOCK nothing with that cookie until it was notified; after SUCCESS the same call again
 *  - an item is used and released by a connection that holds it, once for each reference, before ON_DISCONNECT
 *  - ON_DISCONNECT once; once more for a cookie that was reserved, and only after its last release
 *  - keys end in NUL, outputs are preset, vbuckets are 0, item_set_cas follows allocate, `force` is never set
 *  - no call after destroy, nothing held when it comes
 *
 * What it found is in the statistics group `contract`, and in the file of `report=` when the engine is destroyed.
 */
#ifndef LARDER_TEST_WITNESS_H
#define LARDER_TEST_WITNESS_H

#include <stdarg.h>

#include "slots.h"

#define VISITOR_BUCKETS ((size_t)1024)
#define WORKERS_MAX ((size_t)256)
#define COMPLAINT_BYTES_MAX 300

enum function {
    FUNCTION_GET,
    FUNCTION_ALLOCATE,
    FUNCTION_STORE,
    FUNCTION_REMOVE,
    FUNCTION_ARITHMETIC,
    FUNCTION_STATS,
    FUNCTION_FLUSH,
    FUNCTION_COMMAND,
    /* Which never blocks. */
    FUNCTION_RELEASE,
    FUNCTIONS
};

static const char *const function_names[FUNCTIONS] = {
    "get", "allocate", "store", "remove", "arithmetic", "get_stats", "flush", "unknown_command", "release",
};

/* What makes two calls the same call. */
struct call {
    enum function function;
    const void *item;
    uint64_t number;
    size_t nkey;
    char key[256];
};

/* A connection, by its cookie. Kept for good: cookies come back. */
struct visitor {
    struct visitor *next;
    const void *cookie;
    bool connected;
    bool in_call;
    /* It was told EWOULDBLOCK; `waiting` is for which call. */
    bool blocked;
    bool notified;
    ENGINE_ERROR_CODE status;
    struct call waiting;
    /* It was notified of nothing, or will be: a retry may come at any time from then on. */
    bool stray;
    pthread_t thread;
    const void *needs_cas;
    const void **held;
    size_t held_count;
    size_t held_room;
    uint64_t reservations;
    /* ON_DISCONNECT came while it was reserved. */
    bool leaving;
};

static struct {
    /* Guards all of it. Never held while the server is called. */
    pthread_mutex_t lock;
    struct visitor *visitors[VISITOR_BUCKETS];
    pthread_t workers[WORKERS_MAX];
    size_t worker_count;
    size_t workers_max;
    char *report_path;
    bool destroyed;
    uint64_t violations;
    char first[COMPLAINT_BYTES_MAX];
    uint64_t calls;
    uint64_t blocked;
    uint64_t retries;
    uint64_t connects;
    uint64_t disconnects;
    uint64_t second_disconnects;
    uint64_t held;
} witness = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Under the lock. */
__attribute__((format(printf, 1, 2))) static inline void complain(const char *format, ...)
{
    char text[COMPLAINT_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (witness.violations++ == 0) {
        memcpy(witness.first, text, sizeof text);
    }
    fprintf(stderr, "witness: %s\n", text);
}

static inline struct visitor *find_visitor(const void *cookie)
{
    struct visitor **bucket = &witness.visitors[((uintptr_t)cookie >> 4) % VISITOR_BUCKETS];
    for (struct visitor *visitor = *bucket; visitor != NULL; visitor = visitor->next) {
        if (visitor->cookie == cookie) {
            return visitor;
        }
    }
    struct visitor *visitor = calloc(1, sizeof *visitor);
    if (visitor == NULL) {
        abort();
    }
    visitor->cookie = cookie;
    visitor->next = *bucket;
    *bucket = visitor;
    return visitor;
}

static inline void meet_worker(void)
{
    for (size_t i = 0; i < witness.worker_count; i++) {
        if (pthread_equal(witness.workers[i], pthread_self())) {
            return;
        }
    }
    if (witness.worker_count < WORKERS_MAX) {
        witness.workers[witness.worker_count++] = pthread_self();
    }
    if (witness.worker_count > witness.workers_max) {
        complain("calls come from %zu threads, but num_threads is %zu", witness.worker_count, witness.workers_max);
    }
}

/* Holding items */

static inline size_t find_held(const struct visitor *visitor, const void *it)
{
    size_t place = 0;
    while (place < visitor->held_count && visitor->held[place] != it) {
        place++;
    }
    return place;
}

static inline bool holds(const struct visitor *visitor, const void *it)
{
    return find_held(visitor, it) < visitor->held_count;
}

static inline void hold(struct visitor *visitor, const void *it)
{
    if (visitor->held_count == visitor->held_room) {
        visitor->held_room = visitor->held_room == 0 ? 8 : visitor->held_room * 2;
        visitor->held = realloc(visitor->held, visitor->held_room * sizeof *visitor->held);
        if (visitor->held == NULL) {
            abort();
        }
    }
    visitor->held[visitor->held_count++] = it;
    witness.held++;
}

static inline bool let_go(struct visitor *visitor, const void *it)
{
    size_t place = find_held(visitor, it);
    if (place == visitor->held_count) {
        return false;
    }
    visitor->held[place] = visitor->held[--visitor->held_count];
    witness.held--;
    return true;
}

/* Before and after calls */

static inline bool same_call(const struct call *one, const struct call *other)
{
    return one->function == other->function && one->item == other->item && one->number == other->number &&
           one->nkey == other->nkey && memcmp(one->key, other->key, one->nkey) == 0;
}

static inline struct call call_of(enum function function, const void *key, size_t nkey, const void *it, uint64_t number)
{
    struct call call = {.function = function, .item = it, .number = number};
    if (key != NULL) {
        call.nkey = nkey < sizeof call.key ? nkey : sizeof call.key;
        memcpy(call.key, key, call.nkey);
    }
    return call;
}

static inline void judge_retry(struct visitor *visitor, const struct call *call)
{
    const char *was = function_names[visitor->waiting.function];
    if (!visitor->notified && !visitor->stray) {
        complain("%s is called while %s of this cookie waits", function_names[call->function], was);
    } else if (!visitor->stray && visitor->status == ENGINE_SUCCESS && !same_call(&visitor->waiting, call)) {
        complain("%s was to be called again with the same arguments; %s came", was, function_names[call->function]);
    }
    if (same_call(&visitor->waiting, call)) {
        witness.retries++;
    }
    visitor->blocked = false;
}

/* The lock is not held on return. */
static inline struct visitor *enter(const void *cookie, const struct call *call)
{
    const char *name = function_names[call->function];
    pthread_mutex_lock(&witness.lock);
    witness.calls++;
    if (witness.destroyed) {
        complain("%s is called after destroy", name);
        abort();
    }
    if (cookie == NULL) {
        complain("%s is called without a cookie", name);
    }
    struct visitor *visitor = find_visitor(cookie);
    if (!visitor->connected) {
        complain("%s is called with a cookie that is not connected", name);
    } else if (visitor->leaving) {
        complain("%s is called after ON_DISCONNECT", name);
    } else if (visitor->in_call) {
        complain("%s is called during another call for this cookie", name);
    } else if (!pthread_equal(visitor->thread, pthread_self())) {
        complain("%s is called from another thread than ON_CONNECT of this cookie", name);
    }
    meet_worker();
    visitor->in_call = true;
    if (call->function == FUNCTION_RELEASE) {
        if (visitor->blocked && !visitor->notified && !visitor->stray) {
            complain("release is called while %s of this cookie waits", function_names[visitor->waiting.function]);
        }
    } else {
        if (visitor->blocked) {
            judge_retry(visitor, call);
        }
        visitor->notified = false;
        visitor->waiting = *call;
        if (visitor->needs_cas != NULL) {
            complain("%s is called before item_set_cas of a fresh item", name);
            visitor->needs_cas = NULL;
        }
    }
    pthread_mutex_unlock(&witness.lock);
    return visitor;
}

static inline ENGINE_ERROR_CODE leave(struct visitor *visitor, ENGINE_ERROR_CODE outcome)
{
    pthread_mutex_lock(&witness.lock);
    visitor->in_call = false;
    if (outcome == ENGINE_EWOULDBLOCK) {
        visitor->blocked = true;
        witness.blocked++;
    }
    pthread_mutex_unlock(&witness.lock);
    return outcome;
}

static inline void judge_key(const void *key, size_t nkey, uint16_t vbucket)
{
    bool ends = ((const char *)key)[nkey] == '\0';
    if (ends && nkey <= KEY_MAX_LENGTH && vbucket == 0) {
        return;
    }
    pthread_mutex_lock(&witness.lock);
    if (!ends) {
        complain("a key does not end in NUL");
    }
    if (nkey > KEY_MAX_LENGTH) {
        complain("a key is %zu bytes long", nkey);
    }
    if (vbucket != 0) {
        complain("the vbucket is %u", vbucket);
    }
    pthread_mutex_unlock(&witness.lock);
}

static inline void judge(bool is_so, const char *rule)
{
    if (!is_so) {
        pthread_mutex_lock(&witness.lock);
        complain("not so: %s", rule);
        pthread_mutex_unlock(&witness.lock);
    }
}

/* To be called right before the server's notify_io_complete(). `expected`: not a stray one. */
static inline void witness_notification(const void *cookie, ENGINE_ERROR_CODE status, bool expected)
{
    pthread_mutex_lock(&witness.lock);
    struct visitor *visitor = find_visitor(cookie);
    if (expected) {
        visitor->notified = true;
        visitor->status = status;
    } else {
        visitor->stray = true;
    }
    pthread_mutex_unlock(&witness.lock);
}

/* Coming and going */

static void witness_connect(const void *cookie, ENGINE_EVENT_TYPE type, const void *data, const void *own)
{
    (void)type;
    (void)own;
    judge(data == NULL, "ON_CONNECT has no data");
    judge(engine.server->cookie->get_engine_specific(cookie) == NULL, "a fresh cookie has no engine data");
    pthread_mutex_lock(&witness.lock);
    struct visitor *visitor = find_visitor(cookie);
    if (visitor->connected) {
        complain("ON_CONNECT comes for a cookie that is connected");
    }
    witness.connects++;
    visitor->connected = true;
    visitor->leaving = false;
    visitor->blocked = false;
    visitor->notified = false;
    visitor->needs_cas = NULL;
    visitor->thread = pthread_self();
    pthread_mutex_unlock(&witness.lock);
}

static void witness_disconnect(const void *cookie, ENGINE_EVENT_TYPE type, const void *data, const void *own)
{
    (void)type;
    (void)data;
    (void)own;
    pthread_mutex_lock(&witness.lock);
    struct visitor *visitor = find_visitor(cookie);
    if (!visitor->connected) {
        complain("ON_DISCONNECT comes for a cookie that is not connected");
    } else if (!pthread_equal(visitor->thread, pthread_self())) {
        complain("ON_DISCONNECT comes from another thread than ON_CONNECT");
    }
    if (visitor->held_count > 0) {
        complain("ON_DISCONNECT comes while %zu items are held", visitor->held_count);
    }
    if (visitor->blocked && !visitor->notified && !visitor->stray) {
        complain("ON_DISCONNECT comes while %s waits", function_names[visitor->waiting.function]);
    }
    if (visitor->leaving) {
        witness.second_disconnects++;
        if (visitor->reservations > 0) {
            complain("the second ON_DISCONNECT comes while the cookie is reserved");
        }
    }
    visitor->leaving = visitor->reservations > 0;
    visitor->connected = visitor->leaving;
    witness.disconnects++;
    pthread_mutex_unlock(&witness.lock);
}

static inline void witness_reservation(const void *cookie, bool more)
{
    pthread_mutex_lock(&witness.lock);
    struct visitor *visitor = find_visitor(cookie);
    visitor->reservations += more ? 1 : (uint64_t)-1;
    pthread_mutex_unlock(&witness.lock);
}

/* What it found */

static inline void add_findings(ADD_STAT add_stat, const void *cookie)
{
    pthread_mutex_lock(&witness.lock);
    char first[COMPLAINT_BYTES_MAX];
    memcpy(first, witness.first, sizeof first);
    const struct {
        const char *name;
        uint64_t number;
    } lines[] = {
        {"violations", witness.violations},
        {"calls", witness.calls},
        {"blocked", witness.blocked},
        {"retries", witness.retries},
        {"connects", witness.connects},
        {"disconnects", witness.disconnects},
        {"second_disconnects", witness.second_disconnects},
        {"held", witness.held},
        {"workers", witness.worker_count},
    };
    pthread_mutex_unlock(&witness.lock);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        add_number(add_stat, cookie, lines[i].name, lines[i].number);
    }
    add_text(add_stat, cookie, "first", first[0] == '\0' ? "none" : first);
}

static void write_line(const char *key, const uint16_t klen, const char *val, const uint32_t vlen, const void *cookie)
{
    FILE *file = (FILE *)(uintptr_t)cookie;
    fprintf(file, "%.*s %.*s\n", (int)klen, key, (int)vlen, val);
}

/* The end of the engine; `alive`: items nobody gave back. */
static inline void witness_end(bool force, uint64_t alive)
{
    pthread_mutex_lock(&witness.lock);
    if (witness.destroyed) {
        complain("destroy is called twice");
    }
    witness.destroyed = true;
    if (force) {
        complain("destroy is called with force");
    }
    if (witness.held > 0 || alive > 0) {
        complain("at the end %llu items are held and %llu alive", (unsigned long long)witness.held,
                 (unsigned long long)alive);
    }
    if (witness.connects + witness.second_disconnects != witness.disconnects) {
        complain("%llu cookies came and %llu went", (unsigned long long)witness.connects,
                 (unsigned long long)(witness.disconnects - witness.second_disconnects));
    }
    pthread_mutex_unlock(&witness.lock);
    FILE *file = witness.report_path == NULL ? NULL : fopen(witness.report_path, "w");
    if (file != NULL) {
        add_findings(write_line, file);
        fclose(file);
    }
    free(witness.report_path);
    witness.report_path = NULL;
}

/* To be called in initialize, after the configuration was read. */
static inline void witness_begin(void)
{
    size_t threads = 0;
    struct config_item items[] = {
        {.key = "num_threads", .datatype = DT_SIZE, .value.dt_size = &threads},
        {.key = NULL},
    };
    judge(engine.server->core->get_config(items) && items[0].found, "num_threads can be looked up");
    witness.workers_max = threads;
    witness.destroyed = false;
    engine.server->callback->register_callback(&engine.table.interface, ON_CONNECT, witness_connect, NULL);
    engine.server->callback->register_callback(&engine.table.interface, ON_DISCONNECT, witness_disconnect, NULL);
}

#endif
