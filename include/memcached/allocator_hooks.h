/*
 * Hooks into the server's memory allocator. larder's are there and do nothing: the functions that add or remove a hook
 * answer false, the others 0.
 */
#ifndef MEMCACHED_ALLOCATOR_HOOKS_H
#define MEMCACHED_ALLOCATOR_HOOKS_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* 48 bytes, which larder never writes. */
typedef struct {
    size_t words[6];
} allocator_stats;

typedef struct {
    bool (*add_new_hook)(void (*hook)(const void *memory, size_t size));
    bool (*remove_new_hook)(void (*hook)(const void *memory, size_t size));
    bool (*add_delete_hook)(void (*hook)(const void *memory));
    bool (*remove_delete_hook)(void (*hook)(const void *memory));
    int (*get_extra_stats_size)(void);
    void (*get_allocator_stats)(allocator_stats *stats);
    size_t (*get_allocation_size)(void *memory);
    void (*get_detailed_stats)(char *buffer, int size);
} ALLOCATOR_HOOKS_API;

#ifdef __cplusplus
}
#endif

#endif
