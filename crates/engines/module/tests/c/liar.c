/*
 * An engine that breaks the contract in one place, chosen by its configuration: `lie=` one of the words below. What is
 * done for a key applies to keys that begin with `lie` alone, so that a test can see the server live on.
 *
 *   get_nothing          get says SUCCESS and gives no item
 *   get_want_more        get answers WANT_MORE
 *   get_disconnect       get answers DISCONNECT
 *   get_number           get answers 0x77, which is no answer
 *   allocate_nothing     allocate says SUCCESS and gives no item
 *   info_refused         get_item_info answers false, always
 *   info_many_pieces     it uses more pieces than it was offered
 *   info_no_pieces       it uses none, of a value that is not empty
 *   info_short           the pieces are shorter together than nbytes
 *   info_long            the pieces are longer together than nbytes
 *   info_null            a piece that is not empty is at no address
 *   info_huge            a piece is as long as all memory
 *   info_other_key       the key is another
 *   store_number         store answers -1
 *   store_want_more      store answers WANT_MORE
 *   remove_number        remove answers 0x1234
 *   arithmetic_number    arithmetic answers EACCESS (build with -DARITHMETIC)
 *   flush_number         flush answers 0x55
 *   stats_null           get_stats adds a line with a null key of length 5 and one with a null value of length 5
 *   stats_after          get_stats adds a line after it returned, from a thread
 *   errinfo_long         errinfo claims to have written more than there was room for
 *   command_null         unknown_command responds with null pointers and lengths
 */
#define _POSIX_C_SOURCE 200809L

#include "slots.h"

static char lie[32];

static bool lies(const char *name)
{
    return strcmp(lie, name) == 0;
}

static bool is_for(const void *key, size_t nkey)
{
    return nkey >= 3 && memcmp(key, "lie", 3) == 0;
}

static ENGINE_ERROR_CODE liar_initialize(ENGINE_HANDLE *handle, const char *config)
{
    (void)handle;
    char *text = NULL;
    struct config_item items[] = {{.key = "lie", .datatype = DT_STRING, .value.dt_string = &text}, {.key = NULL}};
    if (config != NULL && engine.server->core->parse_config(config, items, stderr) != 0) {
        return ENGINE_EINVAL;
    }
    snprintf(lie, sizeof lie, "%s", text == NULL ? "" : text);
    free(text);
    base_open();
    return ENGINE_SUCCESS;
}

static ENGINE_ERROR_CODE liar_get(ENGINE_HANDLE *handle, const void *cookie, item **out, const void *key,
                                  const int nkey, uint16_t vbucket)
{
    if (is_for(key, (size_t)nkey)) {
        if (lies("get_nothing")) {
            *out = NULL;
            return ENGINE_SUCCESS;
        }
        if (lies("get_want_more")) {
            return ENGINE_WANT_MORE;
        }
        if (lies("get_disconnect")) {
            return ENGINE_DISCONNECT;
        }
        if (lies("get_number")) {
            return (ENGINE_ERROR_CODE)0x77;
        }
    }
    return base_get(handle, cookie, out, key, nkey, vbucket);
}

static ENGINE_ERROR_CODE liar_allocate(ENGINE_HANDLE *handle, const void *cookie, item **out, const void *key,
                                       const size_t nkey, const size_t nbytes, const int flags,
                                       const rel_time_t exptime)
{
    if (is_for(key, nkey) && lies("allocate_nothing")) {
        *out = NULL;
        return ENGINE_SUCCESS;
    }
    return base_allocate(handle, cookie, out, key, nkey, nbytes, flags, exptime);
}

static ENGINE_ERROR_CODE liar_store(ENGINE_HANDLE *handle, const void *cookie, item *it, uint64_t *cas,
                                    ENGINE_STORE_OPERATION operation, uint16_t vbucket)
{
    struct stored *stored = it;
    if (is_for(stored->bytes, stored->nkey) && lies("store_number")) {
        return (ENGINE_ERROR_CODE)-1;
    }
    if (is_for(stored->bytes, stored->nkey) && lies("store_want_more")) {
        return ENGINE_WANT_MORE;
    }
    return base_store(handle, cookie, it, cas, operation, vbucket);
}

static ENGINE_ERROR_CODE liar_remove(ENGINE_HANDLE *handle, const void *cookie, const void *key, const size_t nkey,
                                     uint64_t cas, uint16_t vbucket)
{
    if (is_for(key, nkey) && lies("remove_number")) {
        return (ENGINE_ERROR_CODE)0x1234;
    }
    return base_remove(handle, cookie, key, nkey, cas, vbucket);
}

static ENGINE_ERROR_CODE liar_arithmetic(ENGINE_HANDLE *handle, const void *cookie, const void *key, const int nkey,
                                         const bool increment, const bool create, const uint64_t delta,
                                         const uint64_t initial, const rel_time_t exptime, uint64_t *cas,
                                         uint64_t *result, uint16_t vbucket)
{
    if (is_for(key, (size_t)nkey) && lies("arithmetic_number")) {
        return ENGINE_EACCESS;
    }
    return base_arithmetic(handle, cookie, key, nkey, increment, create, delta, initial, exptime, cas, result, vbucket);
}

static ENGINE_ERROR_CODE liar_flush(ENGINE_HANDLE *handle, const void *cookie, time_t when)
{
    return lies("flush_number") ? (ENGINE_ERROR_CODE)0x55 : base_flush(handle, cookie, when);
}

/* A false description of a read item; items to be written are described truthfully, but for `info_refused`. */
static bool liar_get_item_info(ENGINE_HANDLE *handle, const void *cookie, const item *it, item_info *info)
{
    const struct stored *stored = it;
    uint16_t room = info->nvalue;
    bool is_true = !is_for(stored->bytes, stored->nkey);
    if (!is_true && lies("info_refused")) {
        return false;
    }
    if (!base_get_item_info(handle, cookie, it, info)) {
        return false;
    }
    if (is_true || !stored->linked) {
        return true;
    }
    if (lies("info_many_pieces")) {
        info->nvalue = (uint16_t)(room + 1);
    } else if (lies("info_no_pieces")) {
        info->nvalue = 0;
    } else if (lies("info_short")) {
        info->value[0].iov_len = stored->nbytes - 1;
    } else if (lies("info_long")) {
        info->value[0].iov_len = (size_t)stored->nbytes + 1;
    } else if (lies("info_null")) {
        info->value[0].iov_base = NULL;
    } else if (lies("info_huge")) {
        info->value[0].iov_len = SIZE_MAX;
    } else if (lies("info_other_key")) {
        info->key = "another";
        info->nkey = 7;
    }
    return true;
}

struct late_line {
    ADD_STAT add;
    const void *cookie;
};

static void *add_late(void *argument)
{
    struct late_line *line = argument;
    add_text(line->add, line->cookie, "late", "line");
    free(line);
    return NULL;
}

static ENGINE_ERROR_CODE liar_get_stats(ENGINE_HANDLE *handle, const void *cookie, const char *key, int nkey,
                                        ADD_STAT add)
{
    if (lies("stats_null")) {
        add(NULL, 5, "value", 5, cookie);
        add("null_value", 10, NULL, 5, cookie);
    }
    if (lies("stats_after")) {
        struct late_line *line = malloc(sizeof *line);
        pthread_t thread;
        if (line == NULL) {
            abort();
        }
        *line = (struct late_line){.add = add, .cookie = cookie};
        if (pthread_create(&thread, NULL, add_late, line) != 0) {
            abort();
        }
        pthread_detach(thread);
    }
    return base_get_stats(handle, cookie, key, nkey, add);
}

static ENGINE_ERROR_CODE liar_command(ENGINE_HANDLE *handle, const void *cookie,
                                      protocol_binary_request_header *request, ADD_RESPONSE response)
{
    if (lies("command_null") && request->request.opcode >= 0xa0) {
        response(NULL, 3, NULL, 3, NULL, 3, PROTOCOL_BINARY_RAW_BYTES, PROTOCOL_BINARY_RESPONSE_SUCCESS, 0, cookie);
        return ENGINE_SUCCESS;
    }
    return base_unknown_command(handle, cookie, request, response);
}

static size_t liar_errinfo(ENGINE_HANDLE *handle, const void *cookie, char *buffer, size_t room)
{
    (void)handle;
    (void)cookie;
    memset(buffer, '!', room);
    return lies("errinfo_long") ? SIZE_MAX : 0;
}

static void choose_slots(ENGINE_HANDLE_V1 *table)
{
    table->initialize = liar_initialize;
    table->allocate = liar_allocate;
    table->get = liar_get;
    table->store = liar_store;
    table->remove = liar_remove;
    table->flush = liar_flush;
    table->get_stats = liar_get_stats;
    table->unknown_command = liar_command;
    table->errinfo = liar_errinfo;
    table->get_item_info = liar_get_item_info;
#ifdef ARITHMETIC
    table->arithmetic = liar_arithmetic;
#endif
    (void)liar_arithmetic;
}
