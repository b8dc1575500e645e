/* SPDX-License-Identifier: Apache-2.0
 *
 * sink.h: where records go. A sink has a ring for each worker; somebody empties them.
 *
 * Configs share a file's sink, and the agent's: it is known by its path and the size of its rings,
 * and counted. Who empties it: the flusher (flusher.h) for these, a Python thread for Python sinks.
 */
#ifndef PYFILTER_SINK_H
#define PYFILTER_SINK_H

#include <pthread.h>

#include "ring.h"
#include "services.h"

/* How a worker wakes who sleeps. The reader arms the bell, looks once more at the rings, and
 * sleeps; a worker that finds the bell armed rings it. The ring's head and `armed` are read and
 * written in sequentially consistent order, so one of the two sees the other. A reader that is
 * awake is never rung, so a busy worker makes no system call. */
typedef struct bell {
  _Atomic bool armed;
  int event; /* eventfd */
} bell;

/* What stands behind one or more sinks: their bell, and what happened where no stream was near. */
typedef struct outlet {
  bell bell;
  _Atomic uint64_t counts[COUNT_KINDS]; /* not told to Envoy yet */
  _Atomic bool news;                    /* one of them grew since somebody looked */
  _Atomic uint64_t levels[GAUGE_KINDS]; /* as they are */
  char *path; /* a Python sink's is its name for the log */
  /* NULL: a Python thread empties it. The rest is for the flusher's, see outlet.h. */
  const struct outlet_kind *kind;
  struct outlet *next;
  _Atomic(sink *) sinks; /* more come in front, under sinks_lock */
  ring *torn; /* its line is written in part: its rest goes first; NULL: at the start of a line */
  uint64_t deadline; /* no sink left: when it is given up although entries wait */
  slice last_user;   /* the instance that let go last; under sinks_lock */
} outlet;

/* How many threads can have rings at the same time; one beyond that drops its entries. */
enum { WORKER_SLOTS = 1024 };

struct sink {
  sink *next;        /* the outlet's next sink */
  outlet *out;       /* NULL in validation mode: nothing is ever put */
  bool packets;      /* an entry is a packet, which may hold any byte; else a line with its \n */
  size_t largest;    /* no entry is longer; each ring is the next power of two */
  unsigned uses;     /* plans that use it; under sinks_lock */
  uint64_t deadline; /* no use left: when it is given up although bytes wait; under sinks_lock */
  _Atomic unsigned rings_end; /* no ring has this slot or a later one */
  _Atomic uint64_t told_full; /* when a full ring was logged last, in ms; 0: never */
  _Atomic(ring *) rings[WORKER_SLOTS];
};

typedef enum { SINK_TOOK, SINK_FULL, SINK_TOO_LARGE } sink_result;

/* The registry of sinks: guarded by sinks_lock, told by sinks_changed when one ends. */
extern pthread_mutex_t sinks_lock;
extern pthread_cond_t sinks_changed;

/* How long bytes of a sink that nobody uses any more are tried to be delivered. */
enum { PATIENCE_MS = 5000 };
/* How long a reader that just got bytes waits for more, awake: entries then go in batches, and the
 * workers do not have to wake it for each. */
enum { NAP_MS = 10 };

sink *sink_new(outlet *out, size_t ring_bytes, bool packets);
/* Frees the sink and its rings. */
void sink_free(sink *s);

/* A worker puts one entry. */
sink_result sink_put(sink *s, unsigned slot, slice entry);
/* Whether something was counted behind the sink since the last call. */
static inline bool sink_take_news(sink *s) {
  return s->out != NULL && atomic_load_explicit(&s->out->news, memory_order_relaxed) &&
         atomic_exchange_explicit(&s->out->news, false, memory_order_acquire);
}
/* Takes it over: COUNT_*. */
uint64_t sink_take_count(sink *s, int which);
/* GAUGE_*. */
uint64_t sink_level(const sink *s, int which);

/* The end of a plan's use; the plan is of a config of that instance. */
void sink_release(sink *s, slice instance);
/* Waits, bounded, until every sink has ended. */
void sinks_wait_for_end(void);

/* For who empties it. */
bool sink_has_bytes(sink *s);
/* NULL: that thread never put anything. */
ring *sink_ring(sink *s, unsigned slot);
/* The entries that wait. */
size_t sink_count_entries(sink *s);

void outlet_count(outlet *o, int which, uint64_t n);

void bell_arm(bell *b);
void bell_disarm(bell *b);
/* Rings when armed, or anyway. */
void bell_ring(bell *b, bool anyway);
/* Takes what was rung so far. */
void event_clear(int event);
uint64_t now_ms(void);

/* python_sink.c: no plan is left, so the sink ends once its thread has taken what waits. */
void python_sink_close(sink *s);
/* How many have not ended; under sinks_lock. */
extern unsigned python_sinks;

#endif
