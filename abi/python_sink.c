/* SPDX-License-Identifier: Apache-2.0
 *
 * python_sink.c: a sink that a Python thread empties. The thread calls in without the GIL.
 *
 * It ends when two have let go: the plan (close) and the thread (done), in either order.
 */
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "host.h"
#include "left.h"
#include "sink.h"

typedef struct python_outlet {
  outlet out; /* first: sink->out points here */
  _Atomic bool closed;
  bool done; /* under sinks_lock */
  bool busy; /* the thread's own: the last take found something */
} python_outlet;

unsigned python_sinks;

static python_outlet *outlet_of(sink *s) { return (python_outlet *)s->out; }

sink *pyfilter_sink_python(const char *name, size_t ring_bytes) {
  if (envoy_dynamic_module_callback_is_validation_mode()) {
    return sink_new(NULL, ring_bytes, false);
  }
  python_outlet *o = calloc(1, sizeof *o);
  if (o == NULL) {
    abort();
  }
  o->out.path = (char *)slice_copy(name, strlen(name)).data;
  o->out.bell.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  pthread_mutex_lock(&sinks_lock);
  python_sinks++;
  pthread_mutex_unlock(&sinks_lock);
  return sink_new(&o->out, ring_bytes, false);
}

/* Counts and logs the entries that the thread left behind because it ended early. */
static void give_up(sink *s) {
  size_t lost = sink_count_entries(s);
  if (lost > 0) {
    outlet_count(s->out, COUNT_DROPPED_SINK, lost);
    host_log(envoy_dynamic_module_type_log_level_Error,
             "envoy_pyfilter: %s: %zu entries were not delivered", s->out->path, lost);
  }
}

/* Under sinks_lock: the second of the two that let go frees. */
static void end(sink *s) {
  python_outlet *o = outlet_of(s);
  give_up(s);
  left_by(&o->out);
  free((char *)o->out.last_user.data);
  close(o->out.bell.event);
  sink_free(s);
  free(o->out.path);
  free(o);
  python_sinks--;
  pthread_cond_broadcast(&sinks_changed);
}

void python_sink_close(sink *s) {
  python_outlet *o = outlet_of(s);
  atomic_store_explicit(&o->closed, true, memory_order_seq_cst);
  if (o->done) {
    end(s);
  } else {
    bell_ring(&o->out.bell, true);
  }
}

void pyfilter_sink_done(sink *s) {
  if (s->out == NULL) {
    return;
  }
  pthread_mutex_lock(&sinks_lock);
  outlet_of(s)->done = true;
  if (atomic_load_explicit(&outlet_of(s)->closed, memory_order_relaxed)) {
    end(s);
  }
  pthread_mutex_unlock(&sinks_lock);
}

void pyfilter_sink_failed(sink *s, uint64_t entries) {
  if (s->out != NULL) {
    outlet_count(s->out, COUNT_DROPPED_SINK, entries);
    outlet_count(s->out, COUNT_SINK_ERRORS, 1);
  }
}

/* Copies what waits in a ring, up to room bytes, and returns how many; the copy may end in the
 * middle of a line. */
static size_t copy_out(ring *r, char *to, size_t room) {
  struct iovec pieces[2];
  int count = ring_peek(r, pieces);
  size_t copied = 0;
  for (int i = 0; i < count; i++) {
    size_t part = pieces[i].iov_len < room - copied ? pieces[i].iov_len : room - copied;
    memcpy(to + copied, pieces[i].iov_base, part);
    copied += part;
  }
  return copied;
}

/* Takes whole lines from one ring. A line that no buffer of this size can hold is given up. */
static size_t take_lines(sink *s, ring *r, char *to, size_t room, bool empty) {
  size_t copied = copy_out(r, to, room);
  const char *last = copied > 0 ? memrchr(to, '\n', copied) : NULL;
  if (last != NULL) {
    copied = (size_t)(last - to) + 1;
    ring_take(r, copied);
    return copied;
  }
  if (copied > 0 && empty) {
    ring_skip_line(r);
    outlet_count(s->out, COUNT_DROPPED_SINK, 1);
  }
  return 0;
}

static size_t take_all(sink *s, char *to, size_t capacity) {
  size_t taken = 0;
  unsigned rings_end = atomic_load_explicit(&s->rings_end, memory_order_seq_cst);
  for (unsigned slot = 0; slot < rings_end && taken < capacity; slot++) {
    ring *r = sink_ring(s, slot);
    if (r != NULL) {
      taken += take_lines(s, r, to + taken, capacity - taken, taken == 0);
    }
  }
  return taken;
}

/* Sleeps until there may be something to take. After a take it first naps, awake (see NAP_MS); and
 * always when no descriptor was left for an event that could wake it. */
static void wait_for_entries(sink *s, int timeout_ms) {
  python_outlet *o = outlet_of(s);
  struct pollfd event = {o->out.bell.event, POLLIN, 0};
  if (o->busy || o->out.bell.event < 0) {
    poll(&event, 1, timeout_ms >= 0 && timeout_ms < NAP_MS ? timeout_ms : NAP_MS);
  } else {
    bell_arm(&o->out.bell);
    if (!sink_has_bytes(s) && !atomic_load_explicit(&o->closed, memory_order_seq_cst)) {
      poll(&event, 1, timeout_ms);
    }
    bell_disarm(&o->out.bell);
  }
  o->busy = false;
  event_clear(o->out.bell.event);
}

int64_t pyfilter_sink_take(sink *s, char *buffer, size_t capacity, int timeout_ms) {
  if (s->out == NULL) {
    return -1;
  }
  python_outlet *o = outlet_of(s);
  uint64_t until = timeout_ms < 0 ? UINT64_MAX : now_ms() + (uint64_t)timeout_ms;
  for (;;) {
    /* Asked first: who closes has put everything before. */
    bool closed = atomic_load_explicit(&o->closed, memory_order_seq_cst);
    size_t taken = take_all(s, buffer, capacity);
    if (taken > 0) {
      o->busy = true;
      return (int64_t)taken;
    }
    if (closed && !sink_has_bytes(s)) {
      return -1;
    }
    uint64_t now = now_ms();
    if (now >= until) {
      return 0;
    }
    wait_for_entries(s, timeout_ms < 0 ? -1 : (int)(until - now));
  }
}
