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
pthread_cond_t sinks_changed;

/* Waiting goes by the clock that nobody sets. */
__attribute__((constructor)) static void make_condition(void) {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&sinks_changed, &attributes);
  pthread_condattr_destroy(&attributes);
}

/* Longer than PATIENCE_MS: whoever empties the sinks gives up first, and says what is lost. */
enum { WAIT_FOR_END_S = PATIENCE_MS / 1000 + 1 };
enum { TELL_FULL_MS = 60000 };

sink *sink_new(outlet *out, size_t ring_bytes, bool packets) {
  sink *s = calloc(1, sizeof *s);
  if (s == NULL) {
    abort();
  }
  s->out = out;
  s->packets = packets;
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

/* A reader in trouble says so itself; one that is only slower than the traffic does not know it. */
static void tell_full(sink *s) {
  uint64_t now = now_ms();
  uint64_t before = atomic_load_explicit(&s->told_full, memory_order_relaxed);
  if ((before == 0 || now - before >= TELL_FULL_MS) &&
      atomic_compare_exchange_strong(&s->told_full, &before, now)) {
    host_log(envoy_dynamic_module_type_log_level_Warn,
             "envoy_pyfilter: %s: a worker's ring is full; entries are dropped and counted in "
             "dropped_ring_full (said once a minute at most; ring_bytes is %zu)",
             s->out->path, s->largest);
  }
}

sink_result sink_put(sink *s, unsigned slot, slice entry) {
  if (slot >= WORKER_SLOTS || s->out == NULL) {
    return SINK_FULL;
  }
  if (entry.length + (s->packets ? PACKET_FRAME : 0) > s->largest) {
    return SINK_TOO_LARGE;
  }
  ring *r = own_ring(s, slot);
  switch (s->packets ? ring_put_packet(r, entry) : ring_put(r, entry)) {
  case RING_PUT:
    bell_ring(&s->out->bell, false);
    return SINK_TOOK;
  case RING_PUT_URGENT:
    bell_ring(&s->out->bell, true);
    return SINK_TOOK;
  case RING_FULL:
    tell_full(s);
    break;
  }
  return SINK_FULL;
}

uint64_t sink_take_count(sink *s, int which) {
  return atomic_exchange_explicit(&s->out->counts[which], 0, memory_order_relaxed);
}

uint64_t sink_level(const sink *s, int which) {
  return s->out == NULL ? 0 : atomic_load_explicit(&s->out->levels[which], memory_order_relaxed);
}

void outlet_count(outlet *o, int which, uint64_t n) {
  atomic_fetch_add_explicit(&o->counts[which], n, memory_order_relaxed);
  atomic_store_explicit(&o->news, true, memory_order_release);
}

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

size_t sink_count_entries(sink *s) {
  size_t entries = 0;
  for (unsigned slot = 0; slot < s->rings_end; slot++) {
    ring *r = sink_ring(s, slot);
    if (r != NULL) {
      entries += s->packets ? ring_count_packets(r) : ring_count_lines(r);
    }
  }
  return entries;
}

/* Under sinks_lock: the flusher or the Python thread learns that nobody puts any more. */
static void let_end(sink *s) {
  s->deadline = now_ms() + PATIENCE_MS;
  if (s->out->kind == NULL) {
    python_sink_close(s);
  } else {
    bell_ring(&s->out->bell, true);
  }
}

void sink_release(sink *s, slice instance) {
  pthread_mutex_lock(&sinks_lock);
  bool last = --s->uses == 0;
  bool unreal = s->out == NULL;
  if (last && !unreal) {
    free((char *)s->out->last_user.data);
    s->out->last_user = slice_copy(instance.data, instance.length);
    let_end(s); /* s may be gone once the lock is */
  }
  pthread_mutex_unlock(&sinks_lock);
  if (last && unreal) {
    sink_free(s);
  }
}

void sinks_wait_for_end(void) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
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
