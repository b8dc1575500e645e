/* SPDX-License-Identifier: Apache-2.0
 *
 * sink.c: the workers' side of a sink, and the use counts.
 */
#include "sink.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "flusher.h"
#include "host.h"

pthread_mutex_t sinks_lock = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t sinks_changed = PTHREAD_COND_INITIALIZER;

/* Longer than PATIENCE_MS: whoever empties the sinks gives up first, and says what is lost. */
enum { WAIT_FOR_END_S = PATIENCE_MS / 1000 + 1 };

sink *sink_new(outlet *out, size_t ring_bytes) {
  sink *s = calloc(1, sizeof *s);
  if (s == NULL) {
    abort();
  }
  s->out = out;
  s->largest = ring_bytes;
  s->uses = 1;
  return s;
}

void sink_free(sink *s) {
  for (unsigned slot = 0; slot < s->rings_end; slot++) {
    ring *r = sink_ring(s, slot);
    if (r != NULL) {
      ring_free(r);
    }
  }
  free(s);
}

ring *sink_ring(sink *s, unsigned slot) {
  return atomic_load_explicit(&s->rings[slot], memory_order_seq_cst);
}

/* The calling thread's ring, made at its first entry. */
static ring *own_ring(sink *s, unsigned slot) {
  ring *r = atomic_load_explicit(&s->rings[slot], memory_order_relaxed);
  if (r != NULL) {
    return r;
  }
  r = ring_new(ring_size_for(s->largest));
  atomic_store_explicit(&s->rings[slot], r, memory_order_seq_cst);
  unsigned end = atomic_load_explicit(&s->rings_end, memory_order_relaxed);
  while (end < slot + 1 && !atomic_compare_exchange_weak(&s->rings_end, &end, slot + 1)) {
  }
  return r;
}

sink_result sink_put(sink *s, unsigned slot, slice line) {
  if (slot >= WORKER_SLOTS || s->out == NULL) {
    return SINK_FULL;
  }
  if (line.length > s->largest) {
    return SINK_TOO_LARGE;
  }
  switch (ring_put(own_ring(s, slot), line)) {
  case RING_PUT:
    bell_ring(&s->out->bell, false);
    return SINK_TOOK;
  case RING_PUT_URGENT:
    bell_ring(&s->out->bell, true);
    return SINK_TOOK;
  case RING_FULL:
    break;
  }
  return SINK_FULL;
}

/* Takes a count over; the common case, nothing, costs one load. */
static uint64_t take(_Atomic uint64_t *count) {
  if (atomic_load_explicit(count, memory_order_relaxed) == 0) {
    return 0;
  }
  return atomic_exchange_explicit(count, 0, memory_order_relaxed);
}

uint64_t sink_take_dropped(sink *s) { return s->out == NULL ? 0 : take(&s->out->dropped); }

uint64_t sink_take_errors(sink *s) { return s->out == NULL ? 0 : take(&s->out->errors); }

bool sink_has_bytes(sink *s) {
  unsigned end = atomic_load_explicit(&s->rings_end, memory_order_seq_cst);
  for (unsigned slot = 0; slot < end; slot++) {
    ring *r = sink_ring(s, slot);
    if (r != NULL && ring_waiting(r) > 0) {
      return true;
    }
  }
  return false;
}

size_t sink_count_lines(sink *s) {
  size_t lines = 0;
  for (unsigned slot = 0; slot < s->rings_end; slot++) {
    ring *r = sink_ring(s, slot);
    lines += r != NULL ? ring_count_lines(r) : 0;
  }
  return lines;
}

/* Under sinks_lock: the flusher or the Python thread learns that nobody puts any more. */
static void let_end(sink *s) {
  s->deadline = now_ms() + PATIENCE_MS;
  if (s->out->python) {
    python_sink_close(s);
  } else {
    bell_ring(&s->out->bell, true);
  }
}

void sink_release(sink *s) {
  pthread_mutex_lock(&sinks_lock);
  bool last = --s->uses == 0;
  bool unreal = s->out == NULL;
  if (last && !unreal) {
    let_end(s); /* s may be gone once the lock is */
  }
  pthread_mutex_unlock(&sinks_lock);
  if (last && unreal) {
    sink_free(s);
  }
}

void sinks_wait_for_end(void) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += WAIT_FOR_END_S;
  int waited = 0;
  pthread_mutex_lock(&sinks_lock);
  while ((flusher_runs() || python_sinks > 0) && waited == 0) {
    waited = pthread_cond_timedwait(&sinks_changed, &sinks_lock, &until);
  }
  pthread_mutex_unlock(&sinks_lock);
  if (waited != 0) {
    host_log(envoy_dynamic_module_type_log_level_Warn,
             "envoy_pyfilter: a sink did not end within %d s; its entries may be lost",
             WAIT_FOR_END_S);
  }
}

void bell_arm(bell *b) { atomic_store_explicit(&b->armed, true, memory_order_seq_cst); }

void bell_disarm(bell *b) { atomic_store_explicit(&b->armed, false, memory_order_relaxed); }

/* A full eventfd is as good as a rung one, so the answer of write tells nothing. */
void bell_ring(bell *b, bool anyway) {
  const uint64_t one = 1;
  if (anyway || (atomic_load_explicit(&b->armed, memory_order_seq_cst) &&
                 atomic_exchange_explicit(&b->armed, false, memory_order_relaxed))) {
    ssize_t ignored = write(b->event, &one, sizeof one);
    (void)ignored;
  }
}

void event_clear(int event) {
  uint64_t rung;
  ssize_t ignored = read(event, &rung, sizeof rung);
  (void)ignored;
}

uint64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}
