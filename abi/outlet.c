/* SPDX-License-Identifier: Apache-2.0
 *
 * outlet.c: the registry of what the flusher empties sinks into, and how these end.
 */
#include "outlet.h"

#include <stdlib.h>

#include "host.h"
#include "left.h"

_Atomic(outlet *) outlets;

outlet *outlet_known(const outlet_kind *kind, const char *path) {
  outlet *o = atomic_load(&outlets);
  while (o != NULL && (o->kind != kind || strcmp(o->path, path) != 0)) {
    o = o->next;
  }
  return o;
}

outlet *outlet_find(const outlet_kind *kind, const char *path, int event) {
  outlet *o = outlet_known(kind, path);
  if (o == NULL) {
    o = kind->make(path);
    o->kind = kind;
    o->path = (char *)slice_copy(path, strlen(path)).data;
    o->bell.event = event;
    o->next = atomic_load(&outlets);
    atomic_store(&outlets, o);
  }
  return o;
}

char *outlet_path(const char *path) {
  const char *slash = strrchr(path, '/');
  size_t folder_length = slash == NULL ? 0 : (size_t)(slash - path) + 1;
  slice given = folder_length == 0 ? slice_copy("./", 2) : slice_copy(path, folder_length);
  char *folder = realpath(given.data, NULL);
  text whole = {NULL, 0, 0};
  free((char *)given.data);
  if (folder == NULL) {
    return (char *)slice_copy(path, strlen(path)).data;
  }
  text_put(&whole, (slice){folder, strlen(folder)});
  if (folder[1] != '\0') { /* not the root */
    text_byte(&whole, '/');
  }
  text_put(&whole, (slice){path + folder_length, strlen(path) - folder_length + 1});
  free(folder);
  return whole.data;
}

sink *outlet_sink(outlet *o, size_t ring_bytes) {
  sink *s = atomic_load(&o->sinks);
  while (s != NULL && s->largest != ring_bytes) {
    s = s->next;
  }
  if (s != NULL) {
    s->uses++;
    return s;
  }
  s = sink_new(o, ring_bytes, o->kind->packets);
  s->next = atomic_load(&o->sinks);
  atomic_store(&o->sinks, s);
  return s;
}

bool outlet_has_bytes(outlet *o) {
  for (sink *s = atomic_load(&o->sinks); s != NULL; s = s->next) {
    if (sink_has_bytes(s)) {
      return true;
    }
  }
  return false;
}

static bool owns(sink *s, const ring *r) {
  unsigned end = atomic_load(&s->rings_end);
  for (unsigned slot = 0; slot < end; slot++) {
    if (sink_ring(s, slot) == r) {
      return true;
    }
  }
  return false;
}

/* Counts and logs what is lost with a sink or an outlet that is given up. At the end of the process
 * no stream comes to tell the counter, so the log has to. */
static void give_up(outlet *o, size_t lost) {
  if (lost > 0) {
    outlet_count(o, COUNT_DROPPED_SINK, lost);
    host_log(envoy_dynamic_module_type_log_level_Error,
             "envoy_pyfilter: %s: %zu entries were not delivered", o->path, lost);
  }
}

/* Frees a sink. A line that another sink of the outlet has begun stays begun. */
static void end_sink(outlet *o, sink *s) {
  give_up(o, sink_count_entries(s));
  if (o->torn != NULL && owns(s, o->torn)) {
    o->torn = NULL;
  }
  o->deadline = s->deadline > o->deadline ? s->deadline : o->deadline;
  sink_free(s);
}

/* Whether a sink can go: nobody puts any more, and all is taken or was tried long enough. While
 * a line of the outlet is begun, nothing of it goes but the last sink. */
static bool is_over(const outlet *o, sink *s, uint64_t now) {
  bool alone = atomic_load(&o->sinks) == s && s->next == NULL;
  return s->uses == 0 && (!sink_has_bytes(s) || (now >= s->deadline && (o->torn == NULL || alone)));
}

static uint64_t earlier(uint64_t one, uint64_t other) { return one < other ? one : other; }

/* Takes the sinks out that are over. Returns when the next one has to go, UINT64_MAX for never. */
static uint64_t end_sinks(outlet *o, uint64_t now) {
  uint64_t next_deadline = UINT64_MAX;
  sink *kept = NULL;
  for (sink *s = atomic_load(&o->sinks), *next; s != NULL; s = next) {
    next = s->next;
    if (!is_over(o, s, now)) {
      kept = s;
      /* Past its deadline it only waits for the end of a begun line: no clock tells that. */
      uint64_t deadline = s->uses == 0 && s->deadline > now ? s->deadline : UINT64_MAX;
      next_deadline = earlier(deadline, next_deadline);
      continue;
    }
    if (kept == NULL) {
      atomic_store(&o->sinks, next);
    } else {
      kept->next = next;
    }
    end_sink(o, s);
  }
  return next_deadline;
}

static void end_outlet(outlet *o) {
  give_up(o, o->kind->waits(o));
  left_by(o);
  free((char *)o->last_user.data);
  free(o->path);
  o->kind->free(o);
}

/* An outlet goes after its last sink, when its queue is empty or was tried as long as that sink. */
uint64_t outlets_end(uint64_t now) {
  uint64_t next_deadline = UINT64_MAX;
  outlet *kept = NULL;
  for (outlet *o = atomic_load(&outlets), *next; o != NULL; o = next) {
    next = o->next;
    uint64_t deadline = end_sinks(o, now);
    bool used = atomic_load(&o->sinks) != NULL;
    if (used || (o->kind->waits(o) > 0 && now < o->deadline)) {
      kept = o;
      next_deadline = earlier(used ? deadline : o->deadline, next_deadline);
      continue;
    }
    if (kept == NULL) {
      atomic_store(&outlets, next);
    } else {
      kept->next = next;
    }
    end_outlet(o);
  }
  return next_deadline;
}
