/* SPDX-License-Identifier: Apache-2.0
 *
 * worker.c: thread slots and scratch memory. A slot is free again when its thread ends; the mutex
 * then hands what the old thread wrote over to the next one.
 */
#include "worker.h"

#include <pthread.h>
#include <stdlib.h>

#include "sink.h"
#include "stream.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t at_thread_end;
static pthread_mutex_t slots_lock = PTHREAD_MUTEX_INITIALIZER;
static bool slot_taken[WORKER_SLOTS];
__thread worker *worker_own;

/* Gives the slot back and frees the scratch memory. */
static void worker_end(void *ended) {
  worker *w = ended;
  if (w->slot < WORKER_SLOTS) {
    pthread_mutex_lock(&slots_lock);
    slot_taken[w->slot] = false;
    pthread_mutex_unlock(&slots_lock);
  }
  while (w->kept > 0) {
    free(w->streams[--w->kept]);
  }
  for (int map = 0; map < MAP_COUNT; map++) {
    header_room_free(&w->maps[map]);
  }
  free(w->line.data);
  free(w->value.data);
  free(w->repaired.data);
  free(w->label.data);
  free(w->packet.data);
  free(w->trimmed.data);
  free(w->pieces.data);
  for (int which = 0; which < ADDRESSES; which++) {
    free(w->addresses[which].data);
  }
  free(w);
  worker_own = NULL;
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

worker *worker_begin(void) {
  pthread_once(&once, make_key);
  worker *w = calloc(1, sizeof *w);
  if (w == NULL) {
    abort();
  }
  w->slot = take_slot();
  pthread_setspecific(at_thread_end, w);
  worker_own = w;
  return w;
}

void worker_keep_stream(pyfilter_stream *s) {
  worker *w = worker_self();
  if (KEEPS_STREAMS && w->kept < STREAMS_KEPT) {
    w->streams[w->kept++] = s;
  } else {
    free(s);
  }
}
