/* SPDX-License-Identifier: Apache-2.0
 *
 * plan.c: carries the plan out for each stream, hook by hook. Which entry is due is decided in due.c.
 */
#include "stream.h"

#include <stdlib.h>

#include "due.h"
#include "encode_cilium.h"
#include "left.h"
#include "measure.h"
#include "sink.h"
#include "state.h"
#include "worker.h"

static const slice KINDS[] = {{"request", 7}, {"denied", 6}, {"response", 8}, {"progress", 8}};
static const int KIND_COUNTERS[] = {COUNT_ENTRIES_REQUEST, COUNT_ENTRIES_DENIED,
                                    COUNT_ENTRIES_RESPONSE, COUNT_ENTRIES_PROGRESS};
enum { KIND_RESPONSE = RECORD_DENIED + 1, KIND_PROGRESS };

static inline void count(const plan *p, const host *h, int which, uint64_t n) {
  if (n > 0 && p->counters[which] != 0) {
    h->call->count(h->metrics, p->counters[which], n);
  }
}

/* Puts an encoded entry into a sink's ring; what the sink did not take is counted by its reason. */
static bool deliver(const plan *p, const host *h, sink *to, unsigned slot, slice encoded) {
  switch (sink_put(to, slot, encoded)) {
  case SINK_TOOK:
    return true;
  case SINK_FULL:
    count(p, h, COUNT_DROPPED_RING_FULL, 1);
    break;
  case SINK_TOO_LARGE:
    count(p, h, COUNT_DROPPED_TOO_LARGE, 1);
    break;
  }
  return false;
}

/* Encodes a captured stream as the sink's packet. */
static slice packet_of(const entry *e, const plan *p, const host *h, cilium *c, int kind) {
  cilium_packet made = encode_cilium(e, p, h, c, kind);
  count(p, h, COUNT_CILIUM_TRIMMED, made.trimmed);
  count(p, h, COUNT_CILIUM_BAD_VALUES, made.bad_values);
  return made.bytes;
}

/* Encodes a captured stream in the format of each sink, and hands it over. It counts as written
 * when a sink took it. */
static void write_entry(entry *e, const plan *p, const host *h, int kind) {
  worker *w = worker_self();
  bool taken = false;
  w->line.length = 0;
  if (p->has_json) {
    encode_json(e, p, KINDS[kind], p->fields[kind >= KIND_RESPONSE ? FROM_RESPONSE : FROM_REQUEST],
                &w->line);
  }
  for (size_t i = 0; i < p->output_count; i++) {
    const output *o = &p->outputs[i];
    if (o->cilium != NULL && kind == KIND_PROGRESS) {
      continue; /* the agent knows requests and responses */
    }
    slice encoded = o->cilium != NULL ? packet_of(e, p, h, o->cilium, kind)
                                      : (slice){w->line.data, w->line.length};
    taken |= deliver(p, h, o->to, w->slot, encoded);
  }
  count(p, h, KIND_COUNTERS[kind], taken);
}

/* Writes the request's entry of either kind, the first time. */
static void write_request(record *r, const plan *p, const host *h, request_kind kind) {
  entry e;
  r->request_written = true;
  entry_capture(&e, p, h, r, FROM_REQUEST, p->captured[FROM_REQUEST], p->maps[FROM_REQUEST]);
  write_entry(&e, p, h, (int)kind);
}

/* Writes the request's entry where its hooks did not. Nothing of it comes after the response. */
static void write_late_request(record *r, const plan *p, const host *h) {
  if (due_late_request(r, p, h)) {
    write_request(r, p, h, RECORD_REQUEST);
  }
  r->request_written = true;
}

/* Sets a gauge to the sum of what the sinks say. */
static void set_gauge(const plan *p, const host *h, int which) {
  uint64_t sum = 0;
  if (p->gauges[which] != 0) {
    for (size_t i = 0; i < p->output_count; i++) {
      sum += sink_level(p->outputs[i].to, which);
    }
    h->call->gauge(h->metrics, p->gauges[which], sum);
  }
}

/* The same for sinks that an earlier config of this instance had. */
static void publish_left(const plan *p, const host *h) {
  uint64_t counts[COUNT_KINDS];
  if (left_take(p->instance, counts)) {
    for (int which = 0; which < COUNT_KINDS; which++) {
      count(p, h, which, counts[which]);
    }
  }
}

/* The same for a sink of the plan. */
static void publish_sink(const plan *p, const host *h, sink *s) {
  for (int which = 0; which < COUNT_KINDS; which++) {
    count(p, h, which, sink_take_count(s, which));
  }
}

void plan_publish(const plan *p, const host *h) {
  for (size_t i = 0; i < p->output_count; i++) {
    if (sink_take_news(p->outputs[i].to)) {
      publish_sink(p, h, p->outputs[i].to);
    }
  }
  if (left_any()) {
    publish_left(p, h);
  }
  if (p->has_packets) {
    for (int which = 0; which < GAUGE_KINDS; which++) {
      set_gauge(p, h, which);
    }
  }
}

static host host_of(const pyfilter_stream *s) { return (host){&host_http, s->envoy, s->envoy}; }

/* The header in which Envoy keeps the path that a route rewrites may come from a client, too. */
static void look_for_original_path(record *r, const plan *p, const host *h) {
  slice sent;
  if (p->has_packets && !r->request_passed) {
    r->request_passed = true;
    r->original_path_free =
        !h->call->header(h->envoy, envoy_dynamic_module_type_http_header_type_RequestHeader,
                         SLICE("x-envoy-original-path"), &sent);
  }
}

void record_request(pyfilter_stream *s, request_kind kind) {
  const plan *p = s->config->plan;
  if (p == NULL || s->envoy == NULL) {
    return;
  }
  host h = host_of(s);
  if (kind == RECORD_REQUEST) {
    look_for_original_path(&s->record, p, &h);
  }
  if (s->record.request_written || !(p->flags & PLAN_LOG_REQUEST)) {
    s->record.denied |= kind == RECORD_DENIED;
    return;
  }
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

/* Writes the response's entry before the stream is complete, where it is due. */
static void write_early_response(pyfilter_stream *s,
                                 bool (*is_due)(const record *, const plan *, const host *)) {
  const plan *p = s->config->plan;
  record *r = &s->record;
  if (p == NULL || s->envoy == NULL) {
    return;
  }
  host h = host_of(s);
  if (is_due(r, p, &h)) {
    entry e;
    write_late_request(r, p, &h);
    r->response_written = true;
    entry_capture(&e, p, &h, r, FROM_RESPONSE, p->captured[FROM_RESPONSE], p->maps[FROM_RESPONSE]);
    write_entry(&e, p, &h, KIND_RESPONSE);
  }
}

void record_response(pyfilter_stream *s) { write_early_response(s, due_at_response); }

void record_end_of_stream(pyfilter_stream *s) { write_early_response(s, due_at_end_of_stream); }

/* Whether every stream has something to be done at its end, whether an entry is due or not. */
static bool has_end(const plan *p) { return p->state_count > 0 || p->measures != NULL; }

static void take_measures(const entry *e, const plan *p, const host *h) {
  measure_tally tally = measures_take(p, e, h);
  count(p, h, COUNT_METRICS_SKIPPED, tally.skipped);
  count(p, h, COUNT_METRICS_OVERFLOW, tally.over);
}

/* Writes what a captured stream comes to: filter state, metrics, and the entry where it is due. */
static void write_end(entry *e, const plan *p, const host *h, bool due) {
  if (p->state_count > 0) {
    count(p, h, COUNT_STATE_CONFLICTS, state_write(e, p, h));
  }
  if (p->measures != NULL) {
    take_measures(e, p, h);
  }
  if (due) {
    write_entry(e, p, h, KIND_RESPONSE);
  }
}

enum { RESPONSE_MAP = 1u << MAP_RESPONSE, RESPONSE_MAPS = RESPONSE_MAP | 1u << MAP_RESPONSE_TRAILERS };

/* A stream that was answered, as nearly all are: its map of response headers is read, so it tells
 * that by itself. False: it was not, or something else is special about it. */
static bool complete_answered(const record *r, const plan *p, const host *h) {
  entry e;
  if (!r->response_seen || r->response_written || !(p->maps[FROM_RESPONSE] & RESPONSE_MAP)) {
    return false;
  }
  entry_capture(&e, p, h, r, FROM_RESPONSE, p->state_fields | p->captured[FROM_RESPONSE],
                p->state_maps | p->maps[FROM_RESPONSE]);
  if (e.maps[MAP_RESPONSE].count == 0) {
    return false;
  }
  write_end(&e, p, h, true);
  return true;
}

/* Any other stream. What nobody got is no part of its state and its entry. */
static void complete(const record *r, const plan *p, const host *h) {
  ending how = due_ending(r, h);
  bool due = due_at_complete(r, p, how);
  if (due || has_end(p)) {
    entry e;
    unsigned maps = p->state_maps | (due ? p->maps[FROM_RESPONSE] : 0);
    entry_capture(&e, p, h, r, FROM_RESPONSE,
                  p->state_fields | (due ? p->captured[FROM_RESPONSE] : 0),
                  how == ENDED_ABORTED ? maps & ~(unsigned)RESPONSE_MAPS : maps);
    write_end(&e, p, h, due);
  }
}

void record_complete(pyfilter_stream *s) {
  const plan *p = s->config->plan;
  if (p == NULL || s->envoy == NULL) {
    return;
  }
  host h = host_of(s);
  record *r = &s->record;
  write_late_request(r, p, &h);
  if (!complete_answered(r, p, &h)) {
    complete(r, p, &h);
  }
  r->response_written = true;
  plan_publish(p, &h);
}

/* Which logs are the last of their stream or connection. An upstream's end is not: there is one for
 * each try. */
static int kind_of(envoy_dynamic_module_type_access_log_type type) {
  switch (type) {
  case envoy_dynamic_module_type_access_log_type_NotSet:
  case envoy_dynamic_module_type_access_log_type_DownstreamEnd:
  case envoy_dynamic_module_type_access_log_type_TcpConnectionEnd:
  case envoy_dynamic_module_type_access_log_type_UdpSessionEnd:
    return KIND_RESPONSE;
  default:
    return KIND_PROGRESS;
  }
}

void plan_log(const plan *p, const host *h, envoy_dynamic_module_type_access_log_type type) {
  entry e;
  record r = {0};
  record_of_log(&r, p, h);
  entry_capture(&e, p, h, &r, FROM_RESPONSE, p->captured[FROM_RESPONSE], p->maps[FROM_RESPONSE]);
  e.log = (told_log){h->envoy, type};
  int kind = kind_of(type);
  if (p->measures != NULL && kind == KIND_RESPONSE) {
    take_measures(&e, p, h);
  }
  write_entry(&e, p, h, kind);
  plan_publish(p, h);
}
