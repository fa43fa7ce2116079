/*
 * Engines that are wrong before anything is stored. Which way is chosen when it is compiled:
 *
 *   -DGARBAGE_OPTIONAL     five optional slots hold what heap memory may hold; the engine works otherwise
 *   -DGARBAGE_REQUIRED     a required slot does
 *   -DMISSING_REQUIRED     a required slot (store) is null
 *   -DFOREIGN_OPTIONAL     an optional slot points into the C library
 *   -DWRONG_INTERFACE      the handle says interface 2
 *   -DREFUSES              create_instance fails with ENOTSUP
 *   -DNULL_HANDLE          create_instance says success and gives no handle
 *   -DNO_ENTRY             there is no create_instance
 *   -DINITIALIZE_FAILS     initialize answers ENOMEM; destroy must follow, and says so on standard error
 *   -DCONFIG_CRASH         create_instance dies by a signal, reading a configuration
 *   -DINITIALIZE_CRASH     initialize does
 *   -DUNDEFINED_SYMBOL     it needs a function that nobody has
 *   -DNULL_INFO            get_info gives null
 *   -DNULL_DESCRIPTION     its description is null
 *   -DDANGLING_DESCRIPTION its description was freed; what is there now does not end and is not UTF-8
 *   -DMANY_FEATURES        it claims four billion features
 */
#define _POSIX_C_SOURCE 200809L

#ifdef NO_ENTRY
int larder_test_engine_without_an_entry;
#else

#include "slots.h"

#ifdef UNDEFINED_SYMBOL
void a_function_that_nobody_has(void);
#endif

/* Bytes as a heap leaves them. */
static inline void *garbage(uintptr_t seed)
{
    return (void *)(0x5a5a5a5a00000000u + seed * 0x1111);
}

static inline void put(void *slot, void *address)
{
    memcpy(slot, &address, sizeof address);
}

static inline void destroy_and_say_so(ENGINE_HANDLE *handle, const bool force)
{
    base_destroy(handle, force);
    fputs("broken: destroy was called\n", stderr);
}

static inline ENGINE_ERROR_CODE failing_initialize(ENGINE_HANDLE *handle, const char *config)
{
    (void)handle;
    (void)config;
    return ENGINE_ENOMEM;
}

static inline ENGINE_ERROR_CODE crashing_initialize(ENGINE_HANDLE *handle, const char *config)
{
    (void)handle;
    (void)config;
    abort();
}

static inline const engine_info *no_info(ENGINE_HANDLE *handle)
{
    (void)handle;
    return NULL;
}

static inline const engine_info *info_without_description(ENGINE_HANDLE *handle)
{
    (void)handle;
    static engine_info info = {.description = NULL, .num_features = 0};
    return &info;
}

static inline const engine_info *info_with_freed_description(ENGINE_HANDLE *handle)
{
    (void)handle;
    static engine_info info;
    static char *reused;
    if (reused == NULL) {
        /* Freed and taken again at once: memory that is there, with somebody else's bytes in it. */
        size_t room = 5000;
        reused = malloc(room);
        if (reused == NULL) {
            abort();
        }
        memset(reused, 0xfe, room - 1);
        reused[room - 1] = '\0';
        info.description = reused;
    }
    return &info;
}

static inline const engine_info *info_with_many_features(ENGINE_HANDLE *handle)
{
    (void)handle;
    static struct {
        engine_info info;
        feature_info more[256];
    } many = {.info = {.description = "Many features", .num_features = UINT32_MAX}};
    many.info.features[0].feature = 0x80000001u;
    for (uint32_t i = 0; i < 256; i++) {
        many.more[i].feature = i;
    }
    return &many.info;
}

static void choose_slots(ENGINE_HANDLE_V1 *table)
{
#if defined(GARBAGE_OPTIONAL)
    put(&table->arithmetic, garbage(1));
    put(&table->get_stats_struct, garbage(2));
    put(&table->aggregate_stats, garbage(3));
    put(&table->tap_notify, garbage(4));
    put(&table->errinfo, &engine);
#elif defined(GARBAGE_REQUIRED)
    put(&table->get, garbage(5));
#elif defined(MISSING_REQUIRED)
    table->store = NULL;
#elif defined(FOREIGN_OPTIONAL)
    size_t (*foreign)(const char *) = strlen;
    memcpy(&table->errinfo, &foreign, sizeof foreign);
#elif defined(WRONG_INTERFACE)
    table->interface.interface = 2;
#elif defined(INITIALIZE_FAILS)
    table->initialize = failing_initialize;
    table->destroy = destroy_and_say_so;
#elif defined(INITIALIZE_CRASH)
    table->initialize = crashing_initialize;
#elif defined(CONFIG_CRASH)
    /* A configuration read where there is none. */
    const char *volatile config = NULL;
    table->interface.interface = (uint64_t)*config;
#elif defined(UNDEFINED_SYMBOL)
    a_function_that_nobody_has();
#elif defined(NULL_INFO)
    table->get_info = no_info;
#elif defined(NULL_DESCRIPTION)
    table->get_info = info_without_description;
#elif defined(DANGLING_DESCRIPTION)
    table->get_info = info_with_freed_description;
#elif defined(MANY_FEATURES)
    table->get_info = info_with_many_features;
#endif
    (void)table;
}

#endif
