/*
 * An engine whose values lie in several pieces, with an empty one among them.
 *
 *   pieces=NUMBER         how many, for an item that is read (3); an item to be written is in one
 *   refuse_one=true       get_item_info refuses room for one piece, also for an item to be written (false)
 */
#define _POSIX_C_SOURCE 200809L

#include "slots.h"

static size_t pieces;
static bool refuse_one;

static ENGINE_ERROR_CODE pieces_initialize(ENGINE_HANDLE *handle, const char *config)
{
    (void)handle;
    pieces = 3;
    refuse_one = false;
    struct config_item items[] = {
        {.key = "pieces", .datatype = DT_SIZE, .value.dt_size = &pieces},
        {.key = "refuse_one", .datatype = DT_BOOL, .value.dt_bool = &refuse_one},
        {.key = NULL},
    };
    if (config != NULL && engine.server->core->parse_config(config, items, stderr) != 0) {
        return ENGINE_EINVAL;
    }
    base_open();
    return ENGINE_SUCCESS;
}

static bool pieces_get_item_info(ENGINE_HANDLE *handle, const void *cookie, const item *it, item_info *info)
{
    const struct stored *stored = it;
    if (refuse_one && info->nvalue == 1) {
        return false;
    }
    if (info->nvalue == 1 && !stored->linked) {
        return base_get_item_info(handle, cookie, it, info);
    }
    /* The last piece of all is an empty one, at no address. */
    if (info->nvalue < pieces + 1) {
        return false;
    }
    describe(stored, info);
    char *rest = (char *)stored->bytes + stored->nkey;
    size_t left = stored->nbytes;
    for (size_t i = 0; i < pieces; i++) {
        size_t length = i + 1 == pieces ? left : left / (pieces - i);
        info->value[i].iov_base = rest;
        info->value[i].iov_len = length;
        rest += length;
        left -= length;
    }
    info->value[pieces].iov_base = NULL;
    info->value[pieces].iov_len = 0;
    info->nvalue = (uint16_t)(pieces + 1);
    return true;
}

static void choose_slots(ENGINE_HANDLE_V1 *table)
{
    table->initialize = pieces_initialize;
    table->get_item_info = pieces_get_item_info;
}
