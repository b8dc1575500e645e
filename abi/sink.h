/* SPDX-License-Identifier: Apache-2.0
 *
 * sink.h: where records go. A sink has a ring for each worker; somebody empties them.
 *
 * Configs share a file's sink: it is known by its path and the size of its rings, and counted. Who
 * empties it: the flusher (file.h, flusher.h) for files, a Python thread for Python sinks.
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
  bool python;              /* a Python thread empties it, not the flusher */
  _Atomic uint64_t dropped; /* entries, not told to Envoy yet */
  _Atomic uint64_t errors;
} outlet;

/* How many threads can have rings at the same time; one beyond that drops its entries. */
enum { WORKER_SLOTS = 1024 };

struct sink {
  sink *next;        /* the file's next sink */
  outlet *out;       /* NULL in validation mode: nothing is ever put */
  size_t largest;    /* no entry is longer; each ring is the next power of two */
  unsigned uses;     /* plans that use it; under sinks_lock */
  uint64_t deadline; /* no use left: when it is given up although bytes wait; under sinks_lock */
  _Atomic unsigned rings_end; /* no ring has this slot or a later one */
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

sink *sink_new(outlet *out, size_t ring_bytes);
/* Frees the sink and its rings. */
void sink_free(sink *s);

/* A worker puts one entry. */
sink_result sink_put(sink *s, unsigned slot, slice line);
uint64_t sink_take_dropped(sink *s);
uint64_t sink_take_errors(sink *s);

/* The end of a plan's use. */
void sink_release(sink *s);
/* Waits, bounded, until every sink has ended. */
void sinks_wait_for_end(void);

/* For who empties it. */
bool sink_has_bytes(sink *s);
/* NULL: that thread never put anything. */
ring *sink_ring(sink *s, unsigned slot);
/* The lines that wait. */
size_t sink_count_lines(sink *s);

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
