/*
 * An engine that uses everything the server offers, when a client asks for it. It stores like any other.
 *
 * Configuration: size, ssize (with the profile that has it), fraction, flag, text, file. What the parser answers is
 * what initialize answers.
 *
 * Groups of statistics:
 *   config        the values
 *   lookup        the server's settings, as get_config gives them
 *   services      clock, hash, version, extensions: `right`, or what was wrong
 *   null_cookie   the cookie functions with a null cookie: the same
 *   log           logs a line of every severity, and numbers, texts and more than eight arguments
 *   log_thread    logs from a thread of its own
 *   level         the level of the log, and how often it changed
 *   who           who the client is, and its socket
 *   events        how often each event came
 *   reserve       reserves this connection's cookie
 *   let_go        releases all that were reserved, from a thread of its own
 *   evict         tells of an eviction, without a cookie
 *   shutdown      begins the stop of the server
 *   tenant A      this connection counts for tenant A from now on
 *
 * Raw commands:
 *   0xa0          three responses: the first with key, extras, body, type and CAS
 *   0xa1          says nothing
 *   0xa2          a response, then TMPFAIL
 *   0xa3          a response, then EWOULDBLOCK; at the second call another response
 *   0xa4          DISCONNECT
 *   0xa5          a body of 100000 bytes
 *   0xa6          overwrites the request with 'x' and answers with the whole of it
 *   0xa7          ENOTSUP
 */
#define _POSIX_C_SOURCE 200809L

#include <ctype.h>

#include <memcached/extension_loggers.h>
#include <memcached/util.h>

#include "slots.h"

#define EVENTS 5
#define RESERVED_MAX ((size_t)64)
#define TENANTS_MAX ((size_t)26)

/* What hangs on a connection. */
struct guest {
    bool reserved;
    bool answered_half;
    void *tenant;
};

static struct {
    size_t size;
#if MEMCACHED_HAS_CONFIG_SSIZE
    ssize_t ssize;
#endif
    float fraction;
    bool flag;
    char *text;
} config;

/* Under the lock, which is not held while the server is called. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t events[EVENTS];
static uint64_t data_kept;
static const void *reserved[RESERVED_MAX];
static size_t reserved_count;
static void *tenants[TENANTS_MAX];

static struct guest *guest_of(const void *cookie)
{
    struct guest *guest = engine.server->cookie->get_engine_specific(cookie);
    if (guest == NULL) {
        guest = calloc(1, sizeof *guest);
        if (guest == NULL) {
            abort();
        }
        engine.server->cookie->store_engine_specific(cookie, guest);
    }
    return guest;
}

static void count_event(const void *cookie, ENGINE_EVENT_TYPE type, const void *data, const void *own)
{
    (void)data;
    struct guest *guest = NULL;
    if (type == ON_DISCONNECT) {
        guest = engine.server->cookie->get_engine_specific(cookie);
    }
    pthread_mutex_lock(&lock);
    if (type >= 0 && type < EVENTS && own == &events[type]) {
        events[type]++;
    }
    bool is_last = true;
    if (guest != NULL) {
        data_kept++;
        is_last = !guest->reserved;
        guest->reserved = false;
    }
    pthread_mutex_unlock(&lock);
    if (is_last) {
        free(guest);
    }
}

static ENGINE_ERROR_CODE talker_initialize(ENGINE_HANDLE *handle, const char *text)
{
    (void)handle;
    struct config_item items[] = {
        {.key = "size", .datatype = DT_SIZE, .value.dt_size = &config.size},
#if MEMCACHED_HAS_CONFIG_SSIZE
        {.key = "ssize", .datatype = DT_SSIZE, .value.dt_ssize = &config.ssize},
#endif
        {.key = "fraction", .datatype = DT_FLOAT, .value.dt_float = &config.fraction},
        {.key = "flag", .datatype = DT_BOOL, .value.dt_bool = &config.flag},
        {.key = "text", .datatype = DT_STRING, .value.dt_string = &config.text},
        {.key = "file", .datatype = DT_CONFIGFILE},
        {.key = NULL},
    };
    int outcome = text == NULL ? 0 : engine.server->core->parse_config(text, items, stderr);
    if (outcome != 0) {
        return (ENGINE_ERROR_CODE)outcome;
    }
    base_open();
    for (int type = 0; type < EVENTS; type++) {
        engine.server->callback->register_callback(&engine.table.interface, (ENGINE_EVENT_TYPE)type, count_event,
                                                   &events[type]);
    }
    /* An event nobody knows is ignored. */
    engine.server->callback->register_callback(&engine.table.interface, (ENGINE_EVENT_TYPE)77, count_event, NULL);
    return ENGINE_SUCCESS;
}

static void talker_destroy(ENGINE_HANDLE *handle, const bool force)
{
    base_destroy(handle, force);
    free(config.text);
    config.text = NULL;
    for (size_t i = 0; i < TENANTS_MAX; i++) {
        if (tenants[i] != NULL) {
            engine.server->stat->release_stats(tenants[i]);
            tenants[i] = NULL;
        }
    }
}

/* Settings and configuration */

static void say_config(ADD_STAT add, const void *cookie)
{
    char text[64];
    add_number(add, cookie, "size", config.size);
#if MEMCACHED_HAS_CONFIG_SSIZE
    snprintf(text, sizeof text, "%zd", config.ssize);
    add_text(add, cookie, "ssize", text);
#endif
    snprintf(text, sizeof text, "%.3f", (double)config.fraction);
    add_text(add, cookie, "fraction", text);
    add_text(add, cookie, "flag", config.flag ? "true" : "false");
    add_text(add, cookie, "text", config.text == NULL ? "(none)" : config.text);
}

static void say_settings(ADD_STAT add, const void *cookie)
{
    static const char *const names[] = {"maxconns", "tcpport", "udpport", "verbosity", "chunk_size", "num_threads",
                                        "reqs_per_event", "item_size_max", "maxbytes"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t number = 0;
        struct config_item items[] = {{.key = names[i], .datatype = DT_SIZE, .value.dt_size = &number}, {.key = NULL}};
        bool is_right = engine.server->core->get_config(items);
        add_number(add, cookie, names[i], is_right && items[0].found ? number : UINT64_MAX);
    }
    bool evictions = false;
    bool cas_enabled = false;
    float growth_factor = 0;
    struct config_item items[] = {
        {.key = "evictions", .datatype = DT_BOOL, .value.dt_bool = &evictions},
        {.key = "cas_enabled", .datatype = DT_BOOL, .value.dt_bool = &cas_enabled},
        {.key = "growth_factor", .datatype = DT_FLOAT, .value.dt_float = &growth_factor},
        {.key = "no_such_setting", .datatype = DT_FLOAT, .value.dt_float = &growth_factor},
        {.key = NULL},
    };
    add_text(add, cookie, "all_converted", engine.server->core->get_config(items) ? "true" : "false");
    add_text(add, cookie, "evictions", evictions ? "true" : "false");
    add_text(add, cookie, "cas_enabled", cas_enabled ? "true" : "false");
    char text[64];
    snprintf(text, sizeof text, "%.2f", (double)growth_factor);
    add_text(add, cookie, "growth_factor", text);
    add_text(add, cookie, "unknown_found", items[3].found ? "true" : "false");
    bool number_as_flag = false;
    struct config_item bad[] = {
        {.key = "maxconns", .datatype = DT_BOOL, .value.dt_bool = &number_as_flag},
        {.key = NULL},
    };
    add_text(add, cookie, "number_as_flag", engine.server->core->get_config(bad) ? "true" : "false");
}

/* What the services answer. A null: all is right. */

#define RIGHT(condition) \
    do { \
        if (!(condition)) { \
            return "not so: " #condition; \
        } \
    } while (0)

static const char *judge_services(void)
{
    SERVER_CORE_API *core = engine.server->core;
    rel_time_t now = core->get_current_time();
    time_t unix_now = core->abstime(now);
    RIGHT(now >= 2);
    RIGHT(core->realtime(0) == 0);
    /* The second may change between two calls. */
    RIGHT(core->realtime(10) - core->get_current_time() <= 10 && core->realtime(10) - now >= 10);
    RIGHT(core->realtime(2592000) - now >= 2592000);
    RIGHT(core->realtime(2592001) == 1);
    RIGHT(core->abstime(core->realtime(unix_now + 1000)) == unix_now + 1000);
    RIGHT(core->hash("key", 3, 1) == core->hash("keys", 3, 1));
    RIGHT(core->hash("key", 3, 1) != core->hash("kez", 3, 1));
    RIGHT(core->hash("key", 3, 1) != core->hash("key", 3, 2));
    RIGHT(core->hash("", 0, 1) == core->hash(NULL, 0, 1));
    RIGHT(core->server_version() != NULL && core->server_version()[0] != '\0');
    SERVER_EXTENSION_API *extensions = engine.server->extension;
    RIGHT(extensions->get_extension(EXTENSION_LOGGER) != NULL);
    RIGHT(extensions->get_extension(EXTENSION_DAEMON) == NULL);
    RIGHT(extensions->get_extension(EXTENSION_ASCII_PROTOCOL) == NULL);
    RIGHT(extensions->get_extension(EXTENSION_BINARY_PROTOCOL) == NULL);
    RIGHT(!extensions->register_extension(EXTENSION_DAEMON, &config));
    RIGHT(engine.server->log->get_logger()->get_name() != NULL);
    RIGHT(engine.server->engine == &engine.table.interface);
    RIGHT(get_stderr_logger() != NULL && get_null_logger() != NULL);
    uint64_t number = 0;
    RIGHT(safe_strtoull("18", &number) && number == 18);
#if MEMCACHED_HAS_ALLOCATOR_HOOKS
    RIGHT(!engine.server->alloc_hooks->add_new_hook(NULL));
    RIGHT(engine.server->alloc_hooks->get_extra_stats_size() == 0);
    RIGHT(engine.server->alloc_hooks->get_allocation_size(&config) == 0);
#else
    /* A copy made with a larger idea of the structure must read zeros, but for the word that one profile has more. */
    void *const *after = (void *const *)(engine.server + 1);
    for (int i = 1; i < 16; i++) {
        RIGHT(after[i] == NULL);
    }
#endif
    return NULL;
}

static const char *judge_null_cookie(void)
{
    SERVER_COOKIE_API *cookies = engine.server->cookie;
    auth_data_t who = {"somebody", "something"};
    cookies->get_auth_data(NULL, &who);
    RIGHT(who.username == NULL && who.config == NULL);
    RIGHT(cookies->get_socket_fd(NULL) == -1);
    cookies->store_engine_specific(NULL, &who);
    RIGHT(cookies->get_engine_specific(NULL) == NULL);
    cookies->notify_io_complete(NULL, ENGINE_SUCCESS);
#if MEMCACHED_HAS_TAP_NACK_MODE
    cookies->set_tap_nack_mode(NULL, true);
    cookies->reserve(NULL);
    cookies->release(NULL);
#else
    RIGHT(cookies->reserve(NULL) == ENGINE_FAILED);
    RIGHT(cookies->release(NULL) == ENGINE_FAILED);
#endif
    engine.server->stat->evicting(NULL, "key", 3);
    return NULL;
}

/* Logging */

static void log_all(const void *cookie)
{
    EXTENSION_LOGGER_DESCRIPTOR *logger = engine.server->extension->get_extension(EXTENSION_LOGGER);
    logger->log(EXTENSION_LOG_WARNING, cookie, "talker warns of %d and %u\n", -1, 4000000000u);
    logger->log(EXTENSION_LOG_INFO, NULL, "talker informs of %s and %.3f", "text", 2.5);
    logger->log(EXTENSION_LOG_DEBUG, cookie, "talker debugs %lld %c", -5000000000ll, 'x');
    logger->log(EXTENSION_LOG_DETAIL, cookie, "talker details");
    logger->log(EXTENSION_LOG_WARNING, cookie, "talker counts %d %d %d %d %d %d %d %d %d %d", 1, 2, 3, 4, 5, 6, 7, 8, 9,
                10);
    logger->log(EXTENSION_LOG_WARNING, cookie,
                "talker mixes %d %.1f %s %d %.1f %s %d %.1f %s %d %.1f %.1f %.1f %.1f %.1f %.1f %.1f", 1, 1.5, "a", 2,
                2.5, "b", 3, 3.5, "c", 4, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 10.5);
    logger->log(EXTENSION_LOG_WARNING, cookie, "talker is not UTF-8: \xff\xfe");
}

static void *log_from_thread(void *unused)
{
    (void)unused;
    engine.server->log->get_logger()->log(EXTENSION_LOG_WARNING, NULL, "talker has a thread");
    return NULL;
}

/* Reservations */

static bool reserve(const void *cookie)
{
    struct guest *guest = guest_of(cookie);
    pthread_mutex_lock(&lock);
    bool has_room = reserved_count < RESERVED_MAX;
    if (has_room) {
        reserved[reserved_count++] = cookie;
        guest->reserved = true;
    }
    pthread_mutex_unlock(&lock);
    if (has_room) {
        engine.server->cookie->reserve(cookie);
    }
    return has_room;
}

static void *let_go(void *unused)
{
    (void)unused;
    const void *cookies[RESERVED_MAX];
    pthread_mutex_lock(&lock);
    size_t count = reserved_count;
    memcpy(cookies, reserved, sizeof cookies);
    reserved_count = 0;
    pthread_mutex_unlock(&lock);
    for (size_t i = 0; i < count; i++) {
        engine.server->cookie->release(cookies[i]);
    }
    return NULL;
}

static void run_thread(void *(*run)(void *))
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, NULL) != 0) {
        abort();
    }
    pthread_join(thread, NULL);
}

static void say_events(ADD_STAT add, const void *cookie)
{
    static const char *const names[EVENTS] = {"connect", "disconnect", "auth", "switch", "log_level"};
    for (int type = 0; type < EVENTS; type++) {
        pthread_mutex_lock(&lock);
        uint64_t count = events[type];
        pthread_mutex_unlock(&lock);
        add_number(add, cookie, names[type], count);
    }
    pthread_mutex_lock(&lock);
    uint64_t kept = data_kept;
    pthread_mutex_unlock(&lock);
    add_number(add, cookie, "disconnect_with_data", kept);
}

static void say_who(ADD_STAT add, const void *cookie)
{
    auth_data_t who = {"untouched", "untouched"};
    engine.server->cookie->get_auth_data(cookie, &who);
    add_text(add, cookie, "user", who.username == NULL ? "(nobody)" : who.username);
    add_text(add, cookie, "has_socket", engine.server->cookie->get_socket_fd(cookie) >= 0 ? "true" : "false");
}

/* Tenants */

static bool choose_tenant(const void *cookie, const char *stat_key, int nkey)
{
    if (stat_key == NULL || nkey != 8 || memcmp(stat_key, "tenant ", 7) != 0 || !isupper((unsigned char)stat_key[7])) {
        return false;
    }
    size_t place = (size_t)(stat_key[7] - 'A');
    void *fresh = engine.server->stat->new_stats();
    pthread_mutex_lock(&lock);
    void *surplus = tenants[place] == NULL ? NULL : fresh;
    tenants[place] = tenants[place] == NULL ? fresh : tenants[place];
    void *tenant = tenants[place];
    pthread_mutex_unlock(&lock);
    if (surplus != NULL) {
        engine.server->stat->release_stats(surplus);
    }
    guest_of(cookie)->tenant = tenant;
    return true;
}

static void *talker_stats_struct(ENGINE_HANDLE *handle, const void *cookie)
{
    (void)handle;
    const struct guest *guest = engine.server->cookie->get_engine_specific(cookie);
    return guest == NULL ? NULL : guest->tenant;
}

static ENGINE_ERROR_CODE talker_aggregate(ENGINE_HANDLE *handle, const void *cookie,
                                          void (*callback)(void *source, void *destination), void *destination)
{
    (void)handle;
    (void)cookie;
    for (size_t i = 0; i < TENANTS_MAX; i++) {
        pthread_mutex_lock(&lock);
        void *tenant = tenants[i];
        pthread_mutex_unlock(&lock);
        if (tenant != NULL) {
            callback(tenant, destination);
        }
    }
    return ENGINE_SUCCESS;
}

/* Statistics */

static bool do_as_told(const void *cookie, const char *key, int nkey)
{
    if (is_group(key, nkey, "log")) {
        log_all(cookie);
    } else if (is_group(key, nkey, "log_thread")) {
        run_thread(log_from_thread);
    } else if (is_group(key, nkey, "reserve")) {
        return reserve(cookie);
    } else if (is_group(key, nkey, "let_go")) {
        run_thread(let_go);
    } else if (is_group(key, nkey, "evict")) {
        engine.server->stat->evicting(NULL, "evicted", 7);
    } else if (is_group(key, nkey, "shutdown")) {
        engine.server->core->shutdown();
    } else {
        return choose_tenant(cookie, key, nkey);
    }
    return true;
}

static ENGINE_ERROR_CODE talker_get_stats(ENGINE_HANDLE *handle, const void *cookie, const char *key, int nkey,
                                          ADD_STAT add)
{
    const char *services = NULL;
    if (is_group(key, nkey, "config")) {
        say_config(add, cookie);
    } else if (is_group(key, nkey, "lookup")) {
        say_settings(add, cookie);
    } else if (is_group(key, nkey, "services")) {
        services = judge_services();
        add_text(add, cookie, "services", services == NULL ? "right" : services);
    } else if (is_group(key, nkey, "null_cookie")) {
        services = judge_null_cookie();
        add_text(add, cookie, "null_cookie", services == NULL ? "right" : services);
    } else if (is_group(key, nkey, "level")) {
        add_number(add, cookie, "level", (uint64_t)engine.server->log->get_level());
    } else if (is_group(key, nkey, "who")) {
        say_who(add, cookie);
    } else if (is_group(key, nkey, "events")) {
        say_events(add, cookie);
    } else if (do_as_told(cookie, key, nkey)) {
        add_text(add, cookie, "done", "true");
    } else {
        return base_get_stats(handle, cookie, key, nkey, add);
    }
    /* The end mark is the server's own, and a value without a name is nobody's. */
    add(NULL, 0, NULL, 0, cookie);
    add("", 0, "nameless", 8, cookie);
    return ENGINE_SUCCESS;
}

/* Raw commands */

static bool respond(ADD_RESPONSE response, const void *cookie, const char *body)
{
    return response(NULL, 0, NULL, 0, body, (uint32_t)strlen(body), PROTOCOL_BINARY_RAW_BYTES,
                    PROTOCOL_BINARY_RESPONSE_SUCCESS, 0, cookie);
}

static void *notify_success(void *cookie)
{
    engine.server->cookie->notify_io_complete(cookie, ENGINE_SUCCESS);
    return NULL;
}

static ENGINE_ERROR_CODE answer_in_two_parts(const void *cookie, ADD_RESPONSE response)
{
    struct guest *guest = guest_of(cookie);
    guest->answered_half = !guest->answered_half;
    if (!guest->answered_half) {
        respond(response, cookie, "second");
        return ENGINE_SUCCESS;
    }
    respond(response, cookie, "first");
    pthread_t thread;
    if (pthread_create(&thread, NULL, notify_success, (void *)(uintptr_t)cookie) != 0) {
        abort();
    }
    pthread_detach(thread);
    return ENGINE_EWOULDBLOCK;
}

static ENGINE_ERROR_CODE talker_command(ENGINE_HANDLE *handle, const void *cookie,
                                        protocol_binary_request_header *request, ADD_RESPONSE response)
{
    size_t length = sizeof request->bytes + ntohl(request->request.bodylen);
    static char large[100000];
    switch (request->request.opcode) {
    case 0xa0:
        response("key", 3, "extra", 5, "body", 4, 7, PROTOCOL_BINARY_RESPONSE_SUCCESS, 0x0102030405060708u, cookie);
        response(NULL, 0, NULL, 0, NULL, 0, PROTOCOL_BINARY_RAW_BYTES, PROTOCOL_BINARY_RESPONSE_EBUSY, 0, cookie);
        respond(response, cookie, "third");
        return ENGINE_SUCCESS;
    case 0xa1:
        return ENGINE_SUCCESS;
    case 0xa2:
        respond(response, cookie, "in vain");
        return ENGINE_TMPFAIL;
    case 0xa3:
        return answer_in_two_parts(cookie, response);
    case 0xa4:
        return ENGINE_DISCONNECT;
    case 0xa5:
        memset(large, 'l', sizeof large);
        response(NULL, 0, NULL, 0, large, sizeof large, PROTOCOL_BINARY_RAW_BYTES, PROTOCOL_BINARY_RESPONSE_SUCCESS, 0,
                 cookie);
        return ENGINE_SUCCESS;
    case 0xa6:
        memset(request->bytes, 'x', length);
        response(NULL, 0, NULL, 0, request->bytes, (uint32_t)length, PROTOCOL_BINARY_RAW_BYTES,
                 PROTOCOL_BINARY_RESPONSE_SUCCESS, 0, cookie);
        return ENGINE_SUCCESS;
    default:
        return base_unknown_command(handle, cookie, request, response);
    }
}

static size_t talker_errinfo(ENGINE_HANDLE *handle, const void *cookie, char *buffer, size_t room)
{
    (void)handle;
    (void)cookie;
    static const char words[] = "says the talker";
    size_t length = room < sizeof words - 1 ? room : sizeof words - 1;
    memcpy(buffer, words, length);
    return length;
}

static void choose_slots(ENGINE_HANDLE_V1 *table)
{
    table->initialize = talker_initialize;
    table->destroy = talker_destroy;
    table->get_stats = talker_get_stats;
    table->get_stats_struct = talker_stats_struct;
    table->aggregate_stats = talker_aggregate;
    table->unknown_command = talker_command;
    table->errinfo = talker_errinfo;
}
