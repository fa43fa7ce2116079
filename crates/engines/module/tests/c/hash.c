/*
 * A plain engine: a hash table, every required slot, touch and get-and-touch.
 *
 * -DARITHMETIC: counts by itself; without it the server does. -DNO_RAW_COMMANDS: no touch either.
 */
#define _POSIX_C_SOURCE 200809L

#include "slots.h"

static void choose_slots(ENGINE_HANDLE_V1 *table)
{
#ifdef ARITHMETIC
    table->arithmetic = base_arithmetic;
#endif
#ifdef NO_RAW_COMMANDS
    table->unknown_command = NULL;
#endif
    (void)table;
}
