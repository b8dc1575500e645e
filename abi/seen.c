/* SPDX-License-Identifier: Apache-2.0
 *
 * seen.c: see seen.h. A place goes once from empty to a text that is whole, and never back.
 */
#include "seen.h"

#include <stdlib.h>
#include <sys/random.h>

void seen_init(seen *s, size_t most) {
  size_t places = 4;
  while (places <= 2 * most) {
    places *= 2;
  }
  *s = (seen){.mask = places - 1, .most = most};
  s->places = calloc(places, sizeof *s->places);
  if (s->places == NULL) {
    abort();
  }
  if (getrandom(&s->seed, sizeof s->seed, GRND_NONBLOCK) != sizeof s->seed) {
    s->seed = (uint64_t)(uintptr_t)s->places; /* early in the life of the machine */
  }
  pthread_mutex_init(&s->lock, NULL);
}

/* Both halves of a product, so that each bit of the word moves all bits of the hash. */
static inline uint64_t mix(uint64_t hash, uint64_t word) {
  unsigned __int128 product = (unsigned __int128)(hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
  return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash_of(uint64_t seed, slice s) {
  uint64_t hash = mix(seed, s.length);
  size_t i = 0;
  for (; i + 8 <= s.length; i += 8) {
    hash = mix(hash, load64(s.data + i));
  }
  uint64_t last = 0;
  for (; i < s.length; i++) {
    last = last << 8 | (unsigned char)s.data[i];
  }
  return mix(hash, last ^ seed);
}

/* The place of that text, or the empty one where it would be; *found is what stands there. */
static _Atomic(const seen_text *) *place_of(seen *s, uint64_t hash, slice wanted,
                                            const seen_text **found) {
  for (size_t i = hash & s->mask;; i = (i + 1) & s->mask) {
    *found = atomic_load_explicit(&s->places[i], memory_order_acquire);
    if (*found == NULL || ((*found)->hash == hash && slice_is((*found)->text, wanted))) {
      return &s->places[i];
    }
  }
}

static const seen_text *text_new(uint64_t hash, slice wanted) {
  seen_text *made = must_allocate(sizeof *made + wanted.length);
  memcpy(made + 1, wanted.data, wanted.length);
  *made = (seen_text){.hash = hash, .text = {(char *)(made + 1), wanted.length}};
  return made;
}

/* Puts a text in, unless another worker did so first, or took the last place. */
static const seen_text *put(seen *s, uint64_t hash, slice wanted) {
  const seen_text *found;
  pthread_mutex_lock(&s->lock);
  _Atomic(const seen_text *) *place = place_of(s, hash, wanted, &found);
  size_t count = atomic_load_explicit(&s->count, memory_order_relaxed);
  if (found == NULL && count < s->most) {
    found = text_new(hash, wanted);
    atomic_store_explicit(place, found, memory_order_release);
    atomic_store_explicit(&s->count, count + 1, memory_order_release);
  }
  pthread_mutex_unlock(&s->lock);
  return found;
}

const seen_text *seen_find(seen *s, slice wanted) {
  const seen_text *found;
  (void)place_of(s, hash_of(s->seed, wanted), wanted, &found);
  return found;
}

const seen_text *seen_get(seen *s, slice wanted) {
  uint64_t hash = hash_of(s->seed, wanted);
  const seen_text *found;
  bool full = atomic_load_explicit(&s->count, memory_order_acquire) >= s->most;
  (void)place_of(s, hash, wanted, &found);
  return found != NULL || full ? found : put(s, hash, wanted);
}

void seen_free(seen *s) {
  for (size_t i = 0; s->places != NULL && i <= s->mask; i++) {
    free((void *)atomic_load_explicit(&s->places[i], memory_order_relaxed));
  }
  free(s->places);
  pthread_mutex_destroy(&s->lock);
}
