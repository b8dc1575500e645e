/* SPDX-License-Identifier: Apache-2.0
 *
 * outlet.h: what the flusher empties sinks into: a file (file.h), or the agent's socket (agent.h).
 *
 * The list of outlets and each outlet's list of sinks grow in front, under sinks_lock; only the
 * flusher takes something out, so it may walk them without the lock.
 */
#ifndef PYFILTER_OUTLET_H
#define PYFILTER_OUTLET_H

#include "sink.h"

/* What a flush came to; MORE: there is more, it only was others' turn. */
typedef enum { OUTLET_IDLE, OUTLET_WORKED, OUTLET_MORE } outlet_progress;

/* What makes one kind of outlet; the flusher's thread calls all but make, which has sinks_lock. */
typedef struct outlet_kind {
  bool packets; /* what an entry is; else it is a line */
  outlet *(*make)(const char *path);
  void (*free)(outlet *o);
  /* Opens, so that trouble is told before the first entry. */
  void (*prepare)(outlet *o);
  /* How many entries wait outside of the rings. */
  size_t (*waits)(const outlet *o);
  /* Delivers what waits, as far as it is taken. */
  outlet_progress (*flush)(outlet *o);
  /* How long nothing can be done, in ms, if nothing happens: -1 for ever. */
  int64_t (*patience)(const outlet *o, uint64_t now);
  /* Whether nothing can be done now, so that new entries are no reason to wake up. */
  bool (*is_blocked)(const outlet *o);
  /* The descriptor, and the events of poll(2) beside a hang-up, that matter now; -1: none does. */
  int (*awaits)(const outlet *o, short *events);
  /* These events came. */
  void (*woken)(outlet *o, short events);
} outlet_kind;

extern _Atomic(outlet *) outlets;

/* One spelling for one path: its folder without links, dots and doubled slashes. The last part
 * stays as it is, because it may be a link that log rotation turns to another file. The caller
 * frees. */
char *outlet_path(const char *path);

/* For who opens a sink, under sinks_lock. The outlet of that kind and path, NULL: there is none. */
outlet *outlet_known(const outlet_kind *kind, const char *path);
/* The same outlet, and its sink with rings of that size; each is made when there is none. event:
 * what wakes the flusher. */
outlet *outlet_find(const outlet_kind *kind, const char *path, int event);
sink *outlet_sink(outlet *o, size_t ring_bytes);

/* For the flusher. */
bool outlet_has_bytes(outlet *o);
/* Under sinks_lock: ends sinks and outlets that are over. Returns when the next one has to go,
 * UINT64_MAX for never. */
uint64_t outlets_end(uint64_t now);

#endif
