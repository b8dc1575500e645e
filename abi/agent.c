/* SPDX-License-Identifier: Apache-2.0
 *
 * agent.c: takes packets out of the rings at all times, into the queue that agent_deliver.c
 * empties.
 */
#include "agent.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "flusher.h"
#include "host.h"

enum { TURN = 1 << 20 }; /* bytes before other outlets get their turn */

static const char STALLED[] = "the agent does not keep up";

static agent *of(const outlet *o) { return (agent *)o; }

static outlet *make(const char *path) {
  (void)path;
  agent *a = calloc(1, sizeof *a);
  if (a == NULL) {
    abort();
  }
  a->fd = -1;
  a->dice = (unsigned)getpid() ^ (unsigned)now_ms();
  a->again.dice = &a->dice;
  return &a->out;
}

static void end(outlet *o) {
  agent_disconnect(of(o));
  queue_pop(&of(o)->queue, of(o)->queue.entries);
  free(o);
}

static void dropped_for_room(agent *a, uint64_t count) {
  if (count == 0) {
    return;
  }
  outlet_count(&a->out, COUNT_DROPPED_QUEUE_FULL, count);
  if (!a->overflow_told) {
    a->overflow_told = true;
    host_log(envoy_dynamic_module_type_log_level_Warn,
             "envoy_pyfilter: %s: the queue is full; entries are dropped", a->out.path);
  }
}

/* Moves packets from a ring into the queue. false: the queue is full, and the agent may take some
 * before any has to be dropped. */
static bool collect_ring(agent *a, ring *r, size_t *moved) {
  size_t length;
  while (*moved < TURN && ring_packet(r, &length)) {
    bool fits;
    if (a->queue.entries > 0 && !queue_fits(&a->queue, length) && retry_is_ready(&a->again, now_ms())) {
      return false;
    }
    dropped_for_room(a, queue_make_room(&a->queue, length, &fits));
    ring_take_packet(r, fits ? queue_add(&a->queue, length)->data : NULL, length);
    *moved += PACKET_FRAME + length;
  }
  return true;
}

/* The same for all rings, which take turns in being first. */
static bool collect(agent *a, size_t *moved) {
  a->turn++;
  for (sink *s = atomic_load(&a->out.sinks); s != NULL; s = s->next) {
    unsigned rings_end = atomic_load(&s->rings_end);
    for (unsigned i = 0; i < rings_end; i++) {
      ring *r = sink_ring(s, (a->turn + i) % rings_end);
      if (r != NULL && !collect_ring(a, r, moved)) {
        return false;
      }
    }
  }
  return true;
}

static void tell_levels(agent *a) {
  atomic_store_explicit(&a->out.levels[GAUGE_CILIUM_CONNECTED], a->fd >= 0, memory_order_relaxed);
  atomic_store_explicit(&a->out.levels[GAUGE_CILIUM_QUEUE_DEPTH], a->queue.entries,
                        memory_order_relaxed);
}

/* Connects before the first packet; later only when there is something to send. */
static void prepare(outlet *o) {
  agent *a = of(o);
  if (a->fd < 0 && a->trouble == 0 && retry_is_ready(&a->again, now_ms())) {
    agent_try(a);
    a->again.at = 0;
    tell_levels(a);
  }
}

static outlet_progress flush(outlet *o) {
  agent *a = of(o);
  size_t moved = 0;
  bool any = false;
  bool all;
  if (a->again.full && retry_is_stalled(&a->again, now_ms())) {
    agent_trouble(a, STALLED, EAGAIN);
  }
  do {
    all = collect(a, &moved);
    any = agent_deliver(a) || any;
  } while (!all && moved < TURN);
  tell_levels(a);
  return moved >= TURN ? OUTLET_MORE : moved > 0 || any ? OUTLET_WORKED : OUTLET_IDLE;
}

static int64_t patience(const outlet *o, uint64_t now) {
  const agent *a = of(o);
  return a->queue.entries == 0 ? -1 : retry_patience(&a->again, now, a->said == STALLED);
}

/* Packets are taken out of the rings whatever the agent does. */
static bool is_blocked(const outlet *o) {
  (void)o;
  return false;
}

static int awaits(const outlet *o, short *events) {
  *events = of(o)->again.full ? POLLOUT : 0;
  return of(o)->fd;
}

static void woken(outlet *o, short events) {
  agent *a = of(o);
  retry_told_room(&a->again);
  if (events & (POLLHUP | POLLERR)) {
    agent_lost(a, ECONNRESET);
    tell_levels(a);
  }
}

static size_t waits(const outlet *o) { return of(o)->queue.entries; }

static const outlet_kind AGENTS = {
    .packets = true,
    .make = make,
    .free = end,
    .prepare = prepare,
    .waits = waits,
    .flush = flush,
    .patience = patience,
    .is_blocked = is_blocked,
    .awaits = awaits,
    .woken = woken,
};

/* Under sinks_lock: the spelling by which the socket is known. The given one when the other would
 * be too long, or when the folder was not there yet as it was asked for first. */
static char *known_path(const char *path) {
  bool as_given = path[0] == '@' || outlet_known(&AGENTS, path) != NULL;
  char *known = as_given ? NULL : outlet_path(path);
  if (known != NULL && agent_path_fits(known)) {
    return known;
  }
  free(known);
  return (char *)slice_copy(path, strlen(path)).data;
}

/* Validation mode has no socket. */
void agent_begin_limits(const sink *s, queue_limits *limits) {
  pthread_mutex_lock(&sinks_lock);
  if (s->out != NULL) {
    queue_add_limits(&of(s->out)->queue, limits);
  }
  pthread_mutex_unlock(&sinks_lock);
}

void agent_end_limits(const sink *s, const queue_limits *limits) {
  pthread_mutex_lock(&sinks_lock);
  if (s->out != NULL) {
    queue_remove_limits(&of(s->out)->queue, limits);
  }
  pthread_mutex_unlock(&sinks_lock);
}

sink *pyfilter_sink_agent(const char *path, size_t ring_bytes) {
  if (!agent_path_fits(path)) {
    return NULL;
  }
  if (envoy_dynamic_module_callback_is_validation_mode()) {
    return sink_new(NULL, ring_bytes, true);
  }
  pthread_mutex_lock(&sinks_lock);
  char *known = known_path(path);
  sink *s = flusher_sink(&AGENTS, known, ring_bytes);
  pthread_mutex_unlock(&sinks_lock);
  free(known);
  return s;
}
