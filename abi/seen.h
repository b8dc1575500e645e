/* SPDX-License-Identifier: Apache-2.0
 *
 * seen.h: a bounded set of texts that all workers of a config share.
 *
 * To look for a text takes no lock; only one that is new is put in under a lock, and when the set is
 * full there is none to take any more. What is in stays where it is until the set ends.
 */
#ifndef PYFILTER_SEEN_H
#define PYFILTER_SEEN_H

#include <pthread.h>
#include <stdatomic.h>

#include "text.h"

typedef struct seen_text {
  uint64_t hash;
  slice text;
} seen_text;

typedef struct seen {
  _Atomic(const seen_text *) *places;
  size_t mask; /* places - 1; they are a power of two, more than half of them empty */
  size_t most; /* texts */
  atomic_size_t count;
  uint64_t seed; /* so that nobody outside can choose texts of one hash */
  pthread_mutex_t lock;
} seen;

void seen_init(seen *s, size_t most);
/* The text of the set that is equal; NULL: there is none. */
const seen_text *seen_find(seen *s, slice wanted);
/* The same; put in when it is new. NULL: the set is full. */
const seen_text *seen_get(seen *s, slice wanted);
void seen_free(seen *s);

#endif
