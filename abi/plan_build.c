/* SPDX-License-Identifier: Apache-2.0
 *
 * plan_build.c: makes a plan while a config loads, and ends it. In between nobody changes it.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "agent.h"
#include "encode_cilium.h"
#include "format.h"
#include "logger_fields.h"
#include "measure.h"
#include "sink.h"

/* Plans that are in use; the last one that retires empties the sinks. */
static _Atomic int plans;

plan *pyfilter_plan_new(const char *instance, size_t length, uint32_t flags) {
  plan *p = calloc(1, sizeof *p);
  if (p == NULL) {
    abort();
  }
  p->instance = slice_copy(instance, length);
  p->flags = flags;
  atomic_fetch_add(&plans, 1);
  return p;
}

/* 1.38 tells a filter the details of a response only when a local reply is made, and only in the
 * hook. */
static void keep_details(plan *p, field_id field) {
  if (field == field_response_code_details && pyfilter_host_release() < 39 &&
      !(p->flags & PLAN_OF_LOGGER)) {
    p->details_from_hook = true;
  }
}

/* Adds fields to what is read from the host, with their header maps. */
static void capture(plan *p, int when, uint64_t fields) {
  p->captured[when] |= fields;
  p->maps[when] |= entry_maps(fields);
}

/* A field that only an access logger can tell; false: there is no such field. */
static bool add_logger_field(plan *p, slice name) {
  const struct logger_field *field = logger_field_find(name);
  if (field == NULL || !(p->flags & PLAN_OF_LOGGER)) {
    return false;
  }
  p->logger_fields = one_more(p->logger_fields, p->logger_field_count, sizeof field);
  p->logger_fields[p->logger_field_count++] = field;
  return true;
}

bool pyfilter_plan_field(plan *p, const char *name) {
  field_id field = field_find((slice){name, strlen(name)});
  if (field == FIELD_COUNT) {
    return add_logger_field(p, (slice){name, strlen(name)});
  }
  if (field == field_duration_ms) { /* that one is for state only */
    return false;
  }
  bool trailers = field == field_request_trailers || field == field_response_trailers;
  if (!field_is_served(p, field) || (trailers && !(p->flags & PLAN_TRAILERS))) {
    return true;
  }
  keep_details(p, field);
  for (int when = FIELDS[field].when; when <= FROM_RESPONSE; when++) {
    p->fields[when] |= UINT64_C(1) << field;
  }
  return true;
}

void pyfilter_plan_pattern(plan *p, int side, int rule, const char *pattern) {
  rules_add(&p->rules[side], rule, pattern);
}

void pyfilter_plan_state(plan *p, const char *key, size_t length) {
  p->states = one_more(p->states, p->state_count, sizeof *p->states);
  state_key *added = &p->states[p->state_count++];
  *added = (state_key){.key = slice_copy(key, length)};
  p->open = &added->value;
  p->open_cilium = NULL;
}

static void add_output(plan *p, sink *s, cilium *c) {
  p->outputs = one_more(p->outputs, p->output_count, sizeof *p->outputs);
  p->outputs[p->output_count++] = (output){.to = s, .cilium = c};
}

void pyfilter_plan_sink(plan *p, sink *s) {
  add_output(p, s, NULL);
  p->has_json = true;
}

void pyfilter_plan_cilium(plan *p, sink *s, size_t max_packet, size_t queue_entries,
                          size_t queue_bytes, bool drop_oldest) {
  cilium *c = cilium_new(max_packet);
  c->limits = (queue_limits){
      .entries = queue_entries, .bytes = queue_bytes, .drop_oldest = drop_oldest};
  agent_begin_limits(s, &c->limits);
  add_output(p, s, c);
  p->has_packets = true;
  capture(p, FROM_REQUEST, cilium_fields(FROM_REQUEST));
  capture(p, FROM_RESPONSE, cilium_fields(FROM_RESPONSE));
}

void pyfilter_plan_cilium_value(plan *p, int which) {
  p->open_cilium = p->outputs[p->output_count - 1].cilium;
  p->open = &p->open_cilium->values[which].from;
}

void pyfilter_plan_cilium_value_end(plan *p, int which) {
  cilium_compile(p->open_cilium, which);
}

bool pyfilter_plan_part(plan *p, int op, int map, const char *what, size_t length,
                        size_t max_length) {
  field_id field = FIELD_COUNT;
  if (op == PART_FIELD) {
    field = field_find((slice){what, length});
    if (field == FIELD_COUNT || FIELDS[field].type >= FIELD_HEADERS) {
      return false;
    }
    keep_details(p, field);
  }
  format_add(p->open, op, map, (slice){what, length}, field, max_length);
  const format_part *part = &p->open->parts[p->open->count - 1];
  if (p->open_cilium == NULL && !(p->flags & PLAN_OF_LOGGER)) {
    format_needs(p, part, FROM_RESPONSE, &p->state_fields, &p->state_maps);
    return true;
  }
  for (int when = FROM_REQUEST; when <= FROM_RESPONSE; when++) {
    format_needs(p, part, when, &p->captured[when], &p->maps[when]);
  }
  return true;
}

/* Names of which fields and packets need the first value. */
static void keep_fixed(plan *p) {
  static const struct {
    unsigned place;
    int map;
    slice name;
  } FIXED[] = {
      {KEPT_METHOD, MAP_REQUEST, {":method", 7}},
      {KEPT_SCHEME, MAP_REQUEST, {":scheme", 7}},
      {KEPT_AUTHORITY, MAP_REQUEST, {":authority", 10}},
      {KEPT_PATH, MAP_REQUEST, {":path", 5}},
      {KEPT_REQUEST_ID, MAP_REQUEST, {"x-request-id", 12}},
      {KEPT_ORIGINAL_PATH, MAP_REQUEST, {"x-envoy-original-path", 21}},
      {KEPT_FORWARDED_PROTO, MAP_REQUEST, {"x-forwarded-proto", 17}},
      {KEPT_STATUS, MAP_RESPONSE, {":status", 7}},
      {KEPT_GRPC_STATUS, MAP_RESPONSE, {"grpc-status", 11}},
      {KEPT_GRPC_STATUS_IN_TRAILERS, MAP_RESPONSE_TRAILERS, {"grpc-status", 11}},
  };
  for (size_t i = 0; i < sizeof FIXED / sizeof FIXED[0]; i++) {
    headers_keep(&p->tables[FIXED[i].map], FIXED[i].name, FIXED[i].place);
  }
  p->kept = KEPT_FIXED;
}

/* What packets have fields for, and the request's id, which they always list. */
static void fit_packets(plan *p) {
  header_table *request = &p->tables[MAP_REQUEST];
  headers_leave_out(request, SLICE(":path"));
  headers_leave_out(request, SLICE(":method"));
  headers_leave_out(request, SLICE(":authority"));
  headers_leave_out(request, SLICE("x-forwarded-proto"));
  headers_leave_out(&p->tables[MAP_RESPONSE], SLICE(":status"));
  headers_look_at(request, SLICE("x-request-id"));
}

void pyfilter_plan_done(plan *p) {
  for (int when = FROM_REQUEST; p->has_json && when <= FROM_RESPONSE; when++) {
    capture(p, when, p->fields[when]);
  }
  for (int map = 0; map < MAP_COUNT; map++) {
    int side = map <= MAP_REQUEST_TRAILERS ? PLAN_REQUEST : PLAN_RESPONSE;
    headers_compile(&p->tables[map], &p->rules[side], p->has_json, p->has_packets);
  }
  keep_fixed(p);
  if (p->has_packets) {
    fit_packets(p);
  }
  for (size_t i = 0; i < p->state_count; i++) {
    format_keep(&p->states[i].value, p);
  }
  for (size_t i = 0; i < p->output_count; i++) {
    for (int which = 0; p->outputs[i].cilium != NULL && which < CILIUM_VALUES; which++) {
      format_keep(&p->outputs[i].cilium->values[which].from, p);
    }
  }
  if (p->measures != NULL) {
    measures_compile(p->measures, p);
  }
  for (int map = 0; map < MAP_COUNT; map++) {
    headers_compiled(&p->tables[map]);
  }
  p->hides_request_id = rules_hide(&p->rules[PLAN_REQUEST], SLICE("x-request-id"));
}

uint32_t plan_records(const plan *p) {
  uint64_t fields = p->captured[FROM_REQUEST] | p->captured[FROM_RESPONSE] | p->state_fields;
  return (fields & TIMED_FIELDS ? RECORDS_CLOCK : 0) |
         (p->flags & PLAN_LOG_REQUEST || p->has_packets ? RECORDS_REQUEST : 0) |
         (p->flags & PLAN_TUNNEL_AT_HANDSHAKE ? RECORDS_RESPONSE : 0) |
         (p->flags & PLAN_AT_END_OF_STREAM ? RECORDS_END_OF_STREAM : 0);
}

void pyfilter_plan_counter(plan *p, int which, size_t id) { p->counters[which] = id; }

void pyfilter_plan_gauge(plan *p, int which, size_t id) { p->gauges[which] = id; }

static void free_states(plan *p) {
  for (size_t i = 0; i < p->state_count; i++) {
    format_free(&p->states[i].value);
    free((char *)p->states[i].key.data);
  }
  free(p->states);
}

/* Lets go of the sinks and frees the rest; true when no plan is left. */
static bool plan_end(plan *p) {
  for (size_t i = 0; i < p->output_count; i++) {
    output *o = &p->outputs[i];
    if (o->cilium != NULL) {
      agent_end_limits(o->to, &o->cilium->limits);
      cilium_free(o->cilium);
    }
    sink_release(o->to, p->instance);
  }
  free(p->outputs);
  free_states(p);
  if (p->measures != NULL) {
    measures_free(p->measures);
  }
  for (int map = 0; map < MAP_COUNT; map++) {
    headers_free(&p->tables[map]);
  }
  rules_free(&p->rules[PLAN_REQUEST]);
  rules_free(&p->rules[PLAN_RESPONSE]);
  free(p->logger_fields);
  free((char *)p->instance.data);
  free(p);
  return atomic_fetch_sub(&plans, 1) == 1;
}

void pyfilter_plan_free(plan *p) { plan_end(p); }

void plan_retire(plan *p) {
  if (plan_end(p)) {
    sinks_wait_for_end();
  }
}
