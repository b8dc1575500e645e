/* SPDX-License-Identifier: Apache-2.0
 *
 * plan.h: the record lane of one stream, step by step. plan.c carries the steps out; stream.c says
 * when. All of them run on the stream's worker, without the GIL, and do nothing when the config has
 * no plan.
 */
#ifndef PYFILTER_PLAN_H
#define PYFILTER_PLAN_H

#include "envoy_abi_logger.h"
#include "services.h"

struct host; /* see host.h */
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
  bool request_written;    /* the request's entry, of either kind; or its time is over */
  bool response_written;   /* the same of the response's */
  bool response_seen;      /* a response came past us, or somebody replied locally */
  bool request_passed;     /* our hooks; known only where packets are made */
  bool original_path_free; /* it passed without x-envoy-original-path: a later one is Envoy's */
  bool denied;             /* our own reply came after the request's entry */
} record;

typedef enum { RECORD_REQUEST, RECORD_DENIED } request_kind;

/* What a plan wants to know before a stream is complete. */
enum {
  RECORDS_CLOCK = 1,         /* when it began */
  RECORDS_REQUEST = 2,       /* that the request passed our hooks */
  RECORDS_RESPONSE = 4,      /* the same of the response's headers */
  RECORDS_END_OF_STREAM = 8, /* and of its end */
  RECORDS_STATISTICS = 16,   /* no plan's: statistics.h */
};
uint32_t plan_records(const plan *p);

/* Takes the time at which a stream begins. */
void record_clock(record *r);
/* Writes the request's entry, once; later calls do nothing (RECORD_DENIED then sets denied). */
void record_request(pyfilter_stream *s, request_kind kind);
/* Somebody, we or another, answers in place of the upstream. */
void record_local_reply(pyfilter_stream *s, const char *details, size_t length);
/* The response's headers passed our hook. */
void record_response(pyfilter_stream *s);
/* The end of the response passed our hooks. */
void record_end_of_stream(pyfilter_stream *s);
/* The stream is complete: state, metadata, and the entries that are still due. */
void record_complete(pyfilter_stream *s);
/* Frees what the record holds. */
void record_end(pyfilter_stream *s);
/* A log of an access logger's stream: one entry of each. */
void plan_log(const plan *p, const struct host *h,
              envoy_dynamic_module_type_access_log_type type);
/* Tells Envoy what the sinks could not count themselves, because they have no stream. */
void plan_publish(const plan *p, const struct host *h);
/* The config is gone, so no stream of it is left: its sinks may end. When it was the last one, waits
 * (bounded) until the rings are empty, because the process may end next. */
void plan_retire(plan *p);

#endif
