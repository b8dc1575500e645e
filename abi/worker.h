/* SPDX-License-Identifier: Apache-2.0
 *
 * worker.h: what each thread keeps for the record lane, so that a stream allocates nothing.
 */
#ifndef PYFILTER_WORKER_H
#define PYFILTER_WORKER_H

#include "entry.h"

typedef struct worker {
  unsigned slot; /* which ring of each sink is this thread's */
  text line;     /* the entry that is being encoded */
  text value;    /* the filter state that is being made */
  text repaired; /* the same, as UTF-8 */
  struct {
    envoy_dynamic_module_type_envoy_http_header *headers;
    size_t capacity;
  } maps[MAP_COUNT];
} worker;

/* This thread's own; made at its first use, ended with the thread. */
worker *worker_self(void);
/* Room for this many headers of a map. */
envoy_dynamic_module_type_envoy_http_header *worker_headers(worker *w, int map, size_t count);

#endif
