/* How an engine makes its entry point visible when it is built with -fvisibility=hidden. */
#ifndef MEMCACHED_VISIBILITY_H
#define MEMCACHED_VISIBILITY_H

#if defined(__GNUC__)
#define MEMCACHED_PUBLIC_API __attribute__((visibility("default")))
#else
#define MEMCACHED_PUBLIC_API
#endif

#endif
