/* SPDX-License-Identifier: Apache-2.0
 *
 * left.c: see left.h. There is one record for each instance name, so they are few.
 */
#include "left.h"

#include <stdlib.h>

typedef struct left {
  struct left *next;
  slice instance;
  uint64_t counts[COUNT_KINDS];
} left;

static left *all;        /* under sinks_lock */
_Atomic bool left_waits; /* a worker looks here first */

static left **find(slice instance) {
  left **at = &all;
  while (*at != NULL && !slice_is((*at)->instance, instance)) {
    at = &(*at)->next;
  }
  return at;
}

static left *find_or_make(slice instance) {
  left **at = find(instance);
  if (*at == NULL) {
    *at = must_allocate(sizeof **at);
    **at = (left){.instance = slice_copy(instance.data, instance.length)};
  }
  return *at;
}

void left_by(outlet *o) {
  for (int which = 0; which < COUNT_KINDS; which++) {
    uint64_t n = atomic_exchange_explicit(&o->counts[which], 0, memory_order_relaxed);
    if (n > 0) {
      find_or_make(o->last_user)->counts[which] += n;
      atomic_store_explicit(&left_waits, true, memory_order_relaxed);
    }
  }
}

bool left_take(slice instance, uint64_t counts[COUNT_KINDS]) {
  if (pthread_mutex_trylock(&sinks_lock) != 0) {
    return false;
  }
  left **at = find(instance);
  left *found = *at;
  if (found != NULL) {
    *at = found->next;
    atomic_store_explicit(&left_waits, all != NULL, memory_order_relaxed);
  }
  pthread_mutex_unlock(&sinks_lock);
  if (found == NULL) {
    return false;
  }
  memcpy(counts, found->counts, sizeof found->counts);
  free((char *)found->instance.data);
  free(found);
  return true;
}
