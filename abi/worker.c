/* SPDX-License-Identifier: Apache-2.0
 *
 * worker.c: thread slots and scratch memory. A slot is free again when its thread ends; the mutex
 * then hands what the old thread wrote over to the next one.
 */
#include "worker.h"

#include <pthread.h>
#include <stdlib.h>

#include "sink.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t at_thread_end;
static pthread_mutex_t slots_lock = PTHREAD_MUTEX_INITIALIZER;
static bool slot_taken[WORKER_SLOTS];
static __thread worker *self;

/* Gives the slot back and frees the scratch memory. */
static void worker_end(void *ended) {
  worker *w = ended;
  if (w->slot < WORKER_SLOTS) {
    pthread_mutex_lock(&slots_lock);
    slot_taken[w->slot] = false;
    pthread_mutex_unlock(&slots_lock);
  }
  for (int map = 0; map < MAP_COUNT; map++) {
    free(w->maps[map].headers);
  }
  free(w->line.data);
  free(w->value.data);
  free(w->repaired.data);
  free(w);
  self = NULL;
}

static void make_key(void) { pthread_key_create(&at_thread_end, worker_end); }

/* The lowest free slot, WORKER_SLOTS when there is none. */
static unsigned take_slot(void) {
  unsigned slot = 0;
  pthread_mutex_lock(&slots_lock);
  while (slot < WORKER_SLOTS && slot_taken[slot]) {
    slot++;
  }
  if (slot < WORKER_SLOTS) {
    slot_taken[slot] = true;
  }
  pthread_mutex_unlock(&slots_lock);
  return slot;
}

static worker *worker_begin(void) {
  pthread_once(&once, make_key);
  worker *w = calloc(1, sizeof *w);
  if (w == NULL) {
    abort();
  }
  w->slot = take_slot();
  pthread_setspecific(at_thread_end, w);
  self = w;
  return w;
}

worker *worker_self(void) { return self != NULL ? self : worker_begin(); }

envoy_dynamic_module_type_envoy_http_header *worker_headers(worker *w, int map, size_t count) {
  if (w->maps[map].capacity < count) {
    free(w->maps[map].headers);
    w->maps[map].capacity = count * 2;
    w->maps[map].headers = must_allocate(count * 2 * sizeof *w->maps[map].headers);
  }
  return w->maps[map].headers;
}
