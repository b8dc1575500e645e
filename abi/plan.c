/* SPDX-License-Identifier: Apache-2.0
 *
 * plan.c: carries the plan out for each stream: which entry is written when, and once.
 */
#include "stream.h"

#include <stdlib.h>

#include "entry.h"
#include "sink.h"
#include "state.h"
#include "worker.h"

static const slice KINDS[] = {{"request", 7}, {"denied", 6}, {"response", 8}};
static const int KIND_COUNTERS[] = {COUNT_ENTRIES_REQUEST, COUNT_ENTRIES_DENIED,
                                    COUNT_ENTRIES_RESPONSE};
enum { KIND_RESPONSE = RECORD_DENIED + 1 };

static void count(const plan *p, const host *h, int which, uint64_t n) {
  if (n > 0 && p->counters[which] != 0) {
    h->call->count(h->envoy, p->counters[which], n);
  }
}

/* Puts the encoded line into the ring of each sink. An entry counts as written when a sink took it;
 * what a sink did not take is counted by its reason. */
static void deliver(const plan *p, const host *h, int kind, const worker *w) {
  bool taken = false;
  for (size_t i = 0; i < p->sink_count; i++) {
    switch (sink_put(p->sinks[i], w->slot, (slice){w->line.data, w->line.length})) {
    case SINK_TOOK:
      taken = true;
      break;
    case SINK_FULL:
      count(p, h, COUNT_DROPPED_RING_FULL, 1);
      break;
    case SINK_TOO_LARGE:
      count(p, h, COUNT_DROPPED_TOO_LARGE, 1);
      break;
    }
  }
  count(p, h, KIND_COUNTERS[kind], taken);
}

/* Encodes a captured stream and hands the line over. */
static void write_entry(entry *e, const plan *p, const host *h, int kind) {
  worker *w = worker_self();
  w->line.length = 0;
  encode_json(e, p, KINDS[kind], p->fields[kind == KIND_RESPONSE ? FROM_RESPONSE : FROM_REQUEST],
              &w->line);
  deliver(p, h, kind, w);
}

static bool has_headers(const host *h, envoy_dynamic_module_type_http_header_type map) {
  return h->call->headers_size(h->envoy, map) > 0;
}

/* Writes the request's entry of either kind, the first time. */
static void write_request(record *r, const plan *p, const host *h, request_kind kind) {
  entry e;
  r->request_written = true;
  entry_capture(&e, p, h, r, FROM_REQUEST, p->fields[FROM_REQUEST], p->maps[FROM_REQUEST]);
  write_entry(&e, p, h, (int)kind);
}

/* Whether the response's entry is due: something answered, and it got as far as to have headers. */
static bool response_due(const record *r, const host *h) {
  return r->response_seen && !r->response_written &&
         has_headers(h, envoy_dynamic_module_type_http_header_type_ResponseHeader);
}

/* Tells Envoy what the sinks could not count themselves, because they have no stream. */
static void publish(const plan *p, const host *h) {
  for (size_t i = 0; i < p->sink_count; i++) {
    count(p, h, COUNT_DROPPED_SINK, sink_take_dropped(p->sinks[i]));
    count(p, h, COUNT_SINK_ERRORS, sink_take_errors(p->sinks[i]));
  }
}

static host host_of(const pyfilter_stream *s) { return (host){&host_http, s->envoy}; }

void record_begin(pyfilter_stream *s) {
  if (s->config->plan != NULL) {
    record_clock(&s->record);
  }
}

void record_request(pyfilter_stream *s, request_kind kind) {
  const plan *p = s->config->plan;
  if (p == NULL || s->envoy == NULL) {
    return;
  }
  if (s->record.request_written || !(p->flags & PLAN_LOG_REQUEST)) {
    s->record.denied |= kind == RECORD_DENIED;
    return;
  }
  host h = host_of(s);
  write_request(&s->record, p, &h, kind);
}

void record_local_reply(pyfilter_stream *s, const char *details, size_t length) {
  const plan *p = s->config->plan;
  record *r = &s->record;
  r->response_seen = true;
  if (p != NULL && p->details_from_hook && length > 0) {
    free(r->details);
    r->details = (char *)slice_copy(details, length).data;
    r->details_length = length;
  }
}

void record_end_of_stream(pyfilter_stream *s) {
  const plan *p = s->config->plan;
  if (p == NULL || !(p->flags & PLAN_AT_END_OF_STREAM) || s->envoy == NULL) {
    return;
  }
  host h = host_of(s);
  if (response_due(&s->record, &h)) {
    entry e;
    s->record.response_written = true;
    entry_capture(&e, p, &h, &s->record, FROM_RESPONSE, p->fields[FROM_RESPONSE],
                  p->maps[FROM_RESPONSE]);
    write_entry(&e, p, &h, KIND_RESPONSE);
  }
}

/* One capture serves the filter state and the entry. */
static void complete(record *r, const plan *p, const host *h) {
  bool due = response_due(r, h);
  if (due || p->state_count > 0) {
    entry e;
    entry_capture(&e, p, h, r, FROM_RESPONSE,
                  p->state_fields | (due ? p->fields[FROM_RESPONSE] : 0),
                  p->state_maps | (due ? p->maps[FROM_RESPONSE] : 0));
    count(p, h, COUNT_STATE_CONFLICTS, state_write(&e, p, h));
    if (due) {
      r->response_written = true;
      write_entry(&e, p, h, KIND_RESPONSE);
    }
  }
}

void record_complete(pyfilter_stream *s) {
  const plan *p = s->config->plan;
  if (p == NULL || s->envoy == NULL) {
    return;
  }
  host h = host_of(s);
  record *r = &s->record;
  if (!r->request_written && (p->flags & PLAN_LOG_REQUEST) &&
      has_headers(&h, envoy_dynamic_module_type_http_header_type_RequestHeader)) {
    write_request(r, p, &h, RECORD_REQUEST);
  }
  complete(r, p, &h);
  publish(p, &h);
}
