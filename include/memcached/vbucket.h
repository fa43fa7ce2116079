/* The states of a vbucket. larder has no vbuckets: it passes number 0 and asks for no state. */
#ifndef MEMCACHED_VBUCKET_H
#define MEMCACHED_VBUCKET_H

typedef enum {
    vbucket_state_active = 1,
    vbucket_state_replica = 2,
    vbucket_state_pending = 3,
    vbucket_state_dead = 4
} vbucket_state_t;

#endif
