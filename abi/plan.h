/* SPDX-License-Identifier: Apache-2.0
 *
 * plan.h: the record lane of one stream, step by step. plan.c carries the steps out; stream.c says
 * when. All of them run on the stream's worker, without the GIL, and do nothing when the config has
 * no plan.
 */
#ifndef PYFILTER_PLAN_H
#define PYFILTER_PLAN_H

#include "services.h"

struct note; /* what Python noted, in order */

/* A stream's share of the record lane; it is part of the stream. */
typedef struct record {
  uint64_t start_unix_ns;  /* wall clock when the stream began */
  uint64_t start_ns;       /* monotonic clock at the same moment */
  struct note *notes;
  unsigned note_count;
  const char *failed_hook; /* static text, NULL: none failed */
  char *details;           /* of a local reply; kept only where no attribute tells it */
  size_t details_length;
  bool request_written;    /* the request's entry, of either kind */
  bool response_written;
  bool response_seen;      /* a response came past us, or somebody replied locally */
  bool denied;             /* our own reply came after the request's entry */
} record;

typedef enum { RECORD_REQUEST, RECORD_DENIED } request_kind;

void record_begin(pyfilter_stream *s);
/* Writes the request's entry, once; later calls do nothing (RECORD_DENIED then sets denied). */
void record_request(pyfilter_stream *s, request_kind kind);
/* Somebody, we or another, answers in place of the upstream. */
void record_local_reply(pyfilter_stream *s, const char *details, size_t length);
/* The end of the response passed our hooks. */
void record_end_of_stream(pyfilter_stream *s);
/* The stream is complete: state, metadata, and the entries that are still due. */
void record_complete(pyfilter_stream *s);
/* Frees what the record holds. */
void record_end(pyfilter_stream *s);
/* The config is gone, so no stream of it is left: its sinks may end. When it was the last one, waits
 * (bounded) until the rings are empty, because the process may end next. */
void plan_retire(plan *p);

#endif
