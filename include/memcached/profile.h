/*
 * The four layouts that call themselves interface 1.
 *
 * The interface changed several times under one number, so an engine must be built for the layout its server speaks.
 * Choose one with -DMEMCACHED_ENGINE_PROFILE=...; without it the newest common one is used, which is right for every
 * engine written today.
 *
 *   MEMCACHED_PROFILE_ENGINE_PU     the engine branch from July 2011 on
 *   MEMCACHED_PROFILE_ENGINE_PU_CB  the branch as Couchbase merged it in 2012: allocator hooks, a type SSIZE in
 *                                   configurations
 *   MEMCACHED_PROFILE_BETA1         the release 1.6.0-beta1 of April 2011: another cookie table
 *   MEMCACHED_PROFILE_2010_04       April 2010: one flat server table, values with CR LF, expiry times converted by
 *                                   the server. larder must be told that an engine has this layout
 */
#ifndef MEMCACHED_PROFILE_H
#define MEMCACHED_PROFILE_H

#define MEMCACHED_PROFILE_ENGINE_PU 1
#define MEMCACHED_PROFILE_ENGINE_PU_CB 2
#define MEMCACHED_PROFILE_BETA1 3
#define MEMCACHED_PROFILE_2010_04 4

#ifndef MEMCACHED_ENGINE_PROFILE
#define MEMCACHED_ENGINE_PROFILE MEMCACHED_PROFILE_ENGINE_PU
#endif

#if MEMCACHED_ENGINE_PROFILE < MEMCACHED_PROFILE_ENGINE_PU || MEMCACHED_ENGINE_PROFILE > MEMCACHED_PROFILE_2010_04
#error "MEMCACHED_ENGINE_PROFILE is none of the MEMCACHED_PROFILE_ values of memcached/profile.h"
#endif

/* What the profiles differ in, by name. */
#define MEMCACHED_HAS_FLAT_SERVER_TABLE (MEMCACHED_ENGINE_PROFILE == MEMCACHED_PROFILE_2010_04)
#define MEMCACHED_HAS_ALLOCATOR_HOOKS (MEMCACHED_ENGINE_PROFILE == MEMCACHED_PROFILE_ENGINE_PU_CB)
#define MEMCACHED_HAS_CONFIG_SSIZE (MEMCACHED_ENGINE_PROFILE == MEMCACHED_PROFILE_ENGINE_PU_CB)
#define MEMCACHED_HAS_TAP_NACK_MODE (MEMCACHED_ENGINE_PROFILE == MEMCACHED_PROFILE_BETA1)

#endif
