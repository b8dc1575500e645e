/* SPDX-License-Identifier: Apache-2.0
 *
 * worker.h: what each thread keeps for the record lane, so that a stream allocates nothing.
 */
#ifndef PYFILTER_WORKER_H
#define PYFILTER_WORKER_H

#include "entry.h"

/* Streams that ended, kept for the next ones. With AddressSanitizer none is kept: it has to see the
 * use of one that ended. */
#ifdef __SANITIZE_ADDRESS__
enum { KEEPS_STREAMS = false };
#else
enum { KEEPS_STREAMS = true };
#endif
enum { STREAMS_KEPT = 256 };

/* Addresses that are put together: the client's, ours, and that of any other field. */
enum { ADDRESS_REMOTE, ADDRESS_LOCAL, ADDRESS_OTHER, ADDRESSES };

typedef struct worker {
  unsigned slot; /* which ring of each sink is this thread's */
  unsigned kept; /* how many there are in `streams` */
  pyfilter_stream *streams[STREAMS_KEPT];
  text line;     /* the entry that is being encoded */
  text value;    /* the filter state that is being made */
  text repaired; /* the same, as UTF-8 */
  text label;    /* the value of a metric's label */
  text packet;   /* the packet that is being encoded */
  text trimmed;  /* the same, when it was too large */
  text pieces;   /* what can be trimmed */
  text addresses[ADDRESSES];
  header_room maps[MAP_COUNT];
} worker;

/* A few bytes that the loader keeps for each thread beside Envoy's own: a place that it would have to
 * look up costs more than what is done with it. */
extern __thread worker *worker_own __attribute__((tls_model("initial-exec"), visibility("hidden")));
worker *worker_begin(void);

/* This thread's own; made at its first use, ended with the thread. */
static inline worker *worker_self(void) { return worker_own != NULL ? worker_own : worker_begin(); }

/* A stream's memory goes back to the thread on which it ends. */
void worker_keep_stream(pyfilter_stream *s);

#endif
