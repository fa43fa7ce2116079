/*
 * Prints where the C compiler puts what crosses the border, one field a line:
 *
 *     profile structure field offset size
 *
 * The line with the field `-` has the size of the whole structure.
 */
#include <stddef.h>
#include <stdio.h>

#include <memcached/engine.h>

#define WHOLE(structure, name) printf("%s %s - 0 %zu\n", PROFILE, name, sizeof(structure))
#define FIELD_AS(structure, name, label, field) \
    printf("%s %s %s %zu %zu\n", PROFILE, name, label, offsetof(structure, field), sizeof(((structure *)0)->field))
#define FIELD(structure, name, field) FIELD_AS(structure, name, #field, field)

#if MEMCACHED_ENGINE_PROFILE == MEMCACHED_PROFILE_ENGINE_PU
#define PROFILE "engine-pu"
#elif MEMCACHED_ENGINE_PROFILE == MEMCACHED_PROFILE_ENGINE_PU_CB
#define PROFILE "engine-pu-cb"
#elif MEMCACHED_ENGINE_PROFILE == MEMCACHED_PROFILE_BETA1
#define PROFILE "beta1"
#else
#define PROFILE "2010-04"
#endif

static void engine_table(void)
{
#define ENGINE(field) FIELD(ENGINE_HANDLE_V1, "engine_interface_v1", field)
    WHOLE(ENGINE_HANDLE_V1, "engine_interface_v1");
    ENGINE(interface);
    ENGINE(get_info);
    ENGINE(initialize);
    ENGINE(destroy);
    ENGINE(allocate);
    ENGINE(remove);
    ENGINE(release);
    ENGINE(get);
    ENGINE(store);
    ENGINE(arithmetic);
    ENGINE(flush);
    ENGINE(get_stats);
    ENGINE(reset_stats);
    ENGINE(get_stats_struct);
    ENGINE(aggregate_stats);
    ENGINE(unknown_command);
    ENGINE(tap_notify);
    ENGINE(get_tap_iterator);
    ENGINE(item_set_cas);
    ENGINE(get_item_info);
#if MEMCACHED_ENGINE_PROFILE != MEMCACHED_PROFILE_2010_04
    ENGINE(errinfo);
#endif
}

static void data(void)
{
    WHOLE(item_info, "item_info");
    FIELD(item_info, "item_info", cas);
    FIELD(item_info, "item_info", exptime);
    FIELD(item_info, "item_info", nbytes);
    FIELD(item_info, "item_info", flags);
    FIELD(item_info, "item_info", clsid);
    FIELD(item_info, "item_info", nkey);
    FIELD(item_info, "item_info", nvalue);
    FIELD(item_info, "item_info", key);
    FIELD(item_info, "item_info", value);
    WHOLE(struct iovec, "iovec");
    FIELD(struct iovec, "iovec", iov_base);
    FIELD(struct iovec, "iovec", iov_len);
    WHOLE(engine_info, "engine_info");
    FIELD(engine_info, "engine_info", description);
    FIELD(engine_info, "engine_info", num_features);
    FIELD(engine_info, "engine_info", features);
    WHOLE(feature_info, "feature_info");
    FIELD(feature_info, "feature_info", feature);
    FIELD(feature_info, "feature_info", description);
    WHOLE(auth_data_t, "auth_data");
    FIELD(auth_data_t, "auth_data", username);
    FIELD(auth_data_t, "auth_data", config);
    WHOLE(struct config_item, "config_item");
    FIELD(struct config_item, "config_item", key);
    FIELD(struct config_item, "config_item", datatype);
    FIELD(struct config_item, "config_item", value);
    FIELD(struct config_item, "config_item", found);
    WHOLE(EXTENSION_LOGGER_DESCRIPTOR, "logger_descriptor");
    FIELD(EXTENSION_LOGGER_DESCRIPTOR, "logger_descriptor", get_name);
    FIELD(EXTENSION_LOGGER_DESCRIPTOR, "logger_descriptor", log);
}

static void binary_header(void)
{
#define REQUEST(field) FIELD_AS(protocol_binary_request_header, "binary_request_header", #field, request.field)
    WHOLE(protocol_binary_request_header, "binary_request_header");
    REQUEST(magic);
    REQUEST(opcode);
    REQUEST(keylen);
    REQUEST(extlen);
    REQUEST(datatype);
    REQUEST(vbucket);
    REQUEST(bodylen);
    REQUEST(opaque);
    REQUEST(cas);
}

static void scalars(void)
{
    WHOLE(ENGINE_ERROR_CODE, "err");
    WHOLE(ENGINE_STORE_OPERATION, "operation");
    WHOLE(ENGINE_EVENT_TYPE, "event");
    WHOLE(tap_event_t, "tap_event");
    WHOLE(enum config_datatype, "config_datatype");
    WHOLE(bool, "bool");
    WHOLE(rel_time_t, "rel_time");
    WHOLE(time_t, "time");
    WHOLE(size_t, "size");
    printf("%s number DT_SIZE %d 4\n", PROFILE, (int)DT_SIZE);
#if MEMCACHED_HAS_CONFIG_SSIZE
    printf("%s number DT_SSIZE %d 4\n", PROFILE, (int)DT_SSIZE);
#endif
    printf("%s number DT_FLOAT %d 4\n", PROFILE, (int)DT_FLOAT);
    printf("%s number DT_BOOL %d 4\n", PROFILE, (int)DT_BOOL);
    printf("%s number DT_STRING %d 4\n", PROFILE, (int)DT_STRING);
    printf("%s number DT_CONFIGFILE %d 4\n", PROFILE, (int)DT_CONFIGFILE);
    printf("%s number TAP_ACK %d 4\n", PROFILE, (int)TAP_ACK);
    printf("%s number TAP_PAUSE %d 4\n", PROFILE, (int)TAP_PAUSE);
}

static void small_server_tables(void)
{
    WHOLE(SERVER_EXTENSION_API, "extension");
    FIELD(SERVER_EXTENSION_API, "extension", register_extension);
    FIELD(SERVER_EXTENSION_API, "extension", unregister_extension);
    FIELD(SERVER_EXTENSION_API, "extension", get_extension);
    WHOLE(SERVER_CALLBACK_API, "callback");
    FIELD(SERVER_CALLBACK_API, "callback", register_callback);
    FIELD(SERVER_CALLBACK_API, "callback", perform_callbacks);
}

#if MEMCACHED_HAS_FLAT_SERVER_TABLE

static void server_tables(void)
{
#define SERVER(field) FIELD(SERVER_HANDLE_V1, "server_handle", field)
    WHOLE(SERVER_HANDLE_V1, "server_handle");
    SERVER(get_auth_data);
    SERVER(store_engine_specific);
    SERVER(get_engine_specific);
    SERVER(get_socket_fd);
    SERVER(server_version);
    SERVER(hash);
    SERVER(realtime);
    SERVER(notify_io_complete);
    SERVER(get_current_time);
    SERVER(parse_config);
    SERVER(new_stats);
    SERVER(release_stats);
    SERVER(count_eviction);
    small_server_tables();
}

#else

static void server_tables(void)
{
#define SERVER(field) FIELD(SERVER_HANDLE_V1, "server_handle", field)
    WHOLE(SERVER_HANDLE_V1, "server_handle");
    SERVER(interface);
    SERVER(core);
    SERVER(stat);
    SERVER(extension);
    SERVER(callback);
    SERVER(engine);
    SERVER(log);
    SERVER(cookie);
#if MEMCACHED_HAS_ALLOCATOR_HOOKS
    SERVER(alloc_hooks);
    WHOLE(allocator_stats, "allocator_stats");
    WHOLE(ALLOCATOR_HOOKS_API, "alloc_hooks");
    FIELD(ALLOCATOR_HOOKS_API, "alloc_hooks", add_new_hook);
    FIELD(ALLOCATOR_HOOKS_API, "alloc_hooks", remove_new_hook);
    FIELD(ALLOCATOR_HOOKS_API, "alloc_hooks", add_delete_hook);
    FIELD(ALLOCATOR_HOOKS_API, "alloc_hooks", remove_delete_hook);
    FIELD(ALLOCATOR_HOOKS_API, "alloc_hooks", get_extra_stats_size);
    FIELD(ALLOCATOR_HOOKS_API, "alloc_hooks", get_allocator_stats);
    FIELD(ALLOCATOR_HOOKS_API, "alloc_hooks", get_allocation_size);
    FIELD(ALLOCATOR_HOOKS_API, "alloc_hooks", get_detailed_stats);
#endif
#define CORE(field) FIELD(SERVER_CORE_API, "core", field)
    WHOLE(SERVER_CORE_API, "core");
    CORE(get_current_time);
    CORE(realtime);
    CORE(abstime);
    CORE(server_version);
    CORE(hash);
    CORE(parse_config);
    CORE(shutdown);
    CORE(get_config);
    WHOLE(SERVER_STAT_API, "stat");
    FIELD(SERVER_STAT_API, "stat", new_stats);
    FIELD(SERVER_STAT_API, "stat", release_stats);
    FIELD(SERVER_STAT_API, "stat", evicting);
    WHOLE(SERVER_LOG_API, "log");
    FIELD(SERVER_LOG_API, "log", get_logger);
    FIELD(SERVER_LOG_API, "log", get_level);
    FIELD(SERVER_LOG_API, "log", set_level);
#define COOKIE(field) FIELD(SERVER_COOKIE_API, "cookie", field)
    WHOLE(SERVER_COOKIE_API, "cookie");
    COOKIE(get_socket_fd);
    COOKIE(get_auth_data);
    COOKIE(store_engine_specific);
    COOKIE(get_engine_specific);
    COOKIE(notify_io_complete);
#if MEMCACHED_HAS_TAP_NACK_MODE
    COOKIE(set_tap_nack_mode);
#endif
    COOKIE(reserve);
    COOKIE(release);
    small_server_tables();
}

#endif

int main(void)
{
    engine_table();
    data();
    binary_header();
    scalars();
    server_tables();
    return 0;
}
