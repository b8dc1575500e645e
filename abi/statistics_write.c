/* SPDX-License-Identifier: Apache-2.0
 *
 * statistics_write.c: what was counted, in native ext_proc's words: one line of text, an object of
 * metadata, and single fields.
 */
#include "host.h"
#include "statistics.h"
#include "worker.h"

/* What a field is made of. Those of calls are absent without a finished call. */
typedef enum {
  LATENCY, /* headers and trailers: the sum, but there is hardly ever a second call */
  STATUS,  /* the last one's */
  COUNT,
  TOTAL,
  MOST,
  LAST_STATUS,
  EFFECT,
  SENT,
  RECEIVED,
  FAILED_OPEN,
  IMMEDIATE,
  STATUS_BEFORE,
  DESTINATION,
} what;

typedef struct {
  slice name;
  what made_of;
  int hook;
} field;

#define NAMED(literal) {(literal), sizeof(literal) - 1}
#define CALL_FIELDS(way, header, body, trailer)                             \
  {NAMED(way "_header_latency_us"), LATENCY, header},                       \
      {NAMED(way "_header_call_status"), STATUS, header},                   \
      {NAMED(way "_body_call_count"), COUNT, body},                         \
      {NAMED(way "_body_total_latency_us"), TOTAL, body},                   \
      {NAMED(way "_body_max_latency_us"), MOST, body},                      \
      {NAMED(way "_body_last_call_status"), LAST_STATUS, body},             \
      {NAMED(way "_trailer_latency_us"), LATENCY, trailer},                 \
      {NAMED(way "_trailer_call_status"), STATUS, trailer},                 \
      {NAMED(way "_header_processing_effect"), EFFECT, header},             \
      {NAMED(way "_body_processing_effect"), EFFECT, body},                 \
      {NAMED(way "_trailer_processing_effect"), EFFECT, trailer}

static const field NATIVE[] = {
    CALL_FIELDS("request", HOOK_REQUEST_HEADERS, HOOK_REQUEST_BODY, HOOK_REQUEST_TRAILERS),
    CALL_FIELDS("response", HOOK_RESPONSE_HEADERS, HOOK_RESPONSE_BODY, HOOK_RESPONSE_TRAILERS),
    {NAMED("bytes_sent"), SENT, 0},
    {NAMED("bytes_received"), RECEIVED, 0},
    {NAMED("failed_open"), FAILED_OPEN, 0},
    {NAMED("received_immediate_response"), IMMEDIATE, 0},
    {NAMED("grpc_status_before_first_call"), STATUS_BEFORE, 0},
    {NAMED("destination"), DESTINATION, 0}, /* the last one: not every release has it */
};
enum { ALL_FIELDS = sizeof NATIVE / sizeof NATIVE[0] };

/* A field's value, as the ABI's types have it. */
typedef struct {
  enum { ABSENT, NUMBER, FLAG, TEXT } kind;
  uint64_t number;
  slice text;
} value;

static value number(uint64_t n) { return (value){.kind = NUMBER, .number = n}; }

static value flag(bool is) { return (value){.kind = FLAG, .number = is}; }

static value of_call(what made_of, const calls *c) {
  if (made_of == EFFECT) {
    return number(c->effect);
  }
  if (c->count == 0) {
    return (value){.kind = ABSENT};
  }
  switch (made_of) {
  case COUNT:
    return number(c->count);
  case MOST:
    return number(c->max_us);
  case STATUS:
  case LAST_STATUS:
    return number(c->last_status);
  default:
    return number(c->total_us);
  }
}

/* None before a call has ended. */
static slice destination(const pyfilter_statistics *c, const statistics *t) {
  return t->finished ? c->destination : SLICE("");
}

static value value_of(const field *f, const pyfilter_statistics *c, const statistics *t) {
  switch (f->made_of) {
  case SENT:
    return number(t->sent);
  case RECEIVED:
    return number(t->received);
  case FAILED_OPEN:
    return flag(t->failed_open);
  case IMMEDIATE:
    return flag(t->immediate_response);
  case STATUS_BEFORE:
    return number(t->status_before_first_call);
  case DESTINATION:
    return c->tells_destination ? (value){.kind = TEXT, .text = destination(c, t)}
                                : (value){.kind = ABSENT};
  default:
    return of_call(f->made_of, &t->of[f->hook]);
  }
}

/* --- the line --- */

static void put_numbers(text *out, slice token, const uint64_t *numbers, int count) {
  text_put(out, token);
  for (int i = 0; i < count; i++) {
    text_byte(out, ':');
    text_number(out, numbers[i]);
  }
  text_byte(out, ',');
}

static void put_call(text *out, slice token, const calls *c, bool is_body) {
  const uint64_t numbers[] = {c->count, c->total_us, c->last_status};
  if (c->count != 0) {
    put_numbers(out, token, is_body ? numbers : numbers + 1, is_body ? 3 : 2);
  }
}

static void put_line(text *out, const pyfilter_statistics *c, const statistics *t) {
  const uint64_t before = t->status_before_first_call;
  put_call(out, SLICE("rh"), &t->of[HOOK_REQUEST_HEADERS], false);
  put_call(out, SLICE("rb"), &t->of[HOOK_REQUEST_BODY], true);
  put_call(out, SLICE("rt"), &t->of[HOOK_REQUEST_TRAILERS], false);
  put_call(out, SLICE("sh"), &t->of[HOOK_RESPONSE_HEADERS], false);
  put_call(out, SLICE("sb"), &t->of[HOOK_RESPONSE_BODY], true);
  put_call(out, SLICE("st"), &t->of[HOOK_RESPONSE_TRAILERS], false);
  put_numbers(out, SLICE("bs"), &t->sent, 1);
  put_numbers(out, SLICE("br"), &t->received, 1);
  put_numbers(out, SLICE("os"), &before, 1);
  out->length--; /* the comma */
  if (c->tells_destination) {
    text_put(out, SLICE(",ds:"));
    text_put(out, destination(c, t));
  }
}

/* --- where it goes --- */

/* False: the key is taken. Up to 1.38 Envoy logs a bug for a second write, from 1.39 on it would
 * overwrite what is there. */
static bool put_state(void *envoy, slice key, const text *written) {
  return !host_http.state_exists(envoy, key) &&
         host_http.state_set(envoy, key, (slice){written->data, written->length});
}

static void put_metadata(void *envoy, slice name_space, slice name, const value *v) {
  switch (v->kind) {
  case NUMBER:
    envoy_dynamic_module_callback_http_set_dynamic_metadata_number(envoy, lent(name_space),
                                                                   lent(name), (double)v->number);
    break;
  case FLAG:
    envoy_dynamic_module_callback_http_set_dynamic_metadata_bool(envoy, lent(name_space),
                                                                 lent(name), v->number != 0);
    break;
  case TEXT:
    envoy_dynamic_module_callback_http_set_dynamic_metadata_string(envoy, lent(name_space),
                                                                   lent(name), lent(v->text));
    break;
  case ABSENT:
    break;
  }
}

/* As ext_proc's FIELD has it: all are text, and flags are 1 or 0. */
static bool put_field(const field_key *f, const pyfilter_statistics *c, const statistics *t,
                      void *envoy, text *out) {
  value v = value_of(&NATIVE[f->field], c, t);
  out->length = 0;
  text_need(out, 1); /* it has an address although it may be empty */
  if (v.kind == ABSENT) {
    return true;
  }
  if (v.kind == TEXT) {
    text_put(out, v.text);
  } else {
    text_number(out, v.number);
  }
  return put_state(envoy, f->key, out);
}

int statistics_field(slice name) {
  int found = ALL_FIELDS - 1;
  while (found >= 0 && !slice_is(NATIVE[found].name, name)) {
    found--;
  }
  return found;
}

bool statistics_write(const pyfilter_statistics *c, const statistics *t, void *envoy) {
  text *out = &worker_self()->value;
  bool free_keys = true;
  for (size_t i = 0; i < c->field_count; i++) {
    free_keys &= put_field(&c->fields[i], c, t, envoy, out);
  }
  if (c->key.length != 0) {
    out->length = 0;
    put_line(out, c, t);
    free_keys &= put_state(envoy, c->key, out);
  }
  for (int i = 0; i < ALL_FIELDS && c->name_space.length != 0; i++) {
    value v = value_of(&NATIVE[i], c, t);
    put_metadata(envoy, c->name_space, NATIVE[i].name, &v);
  }
  return free_keys;
}
