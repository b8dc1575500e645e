/* SPDX-License-Identifier: Apache-2.0
 *
 * statistics.c: when a call begins, when it ends and how; and what is counted on the way.
 */
#include "statistics.h"

#include <stdlib.h>
#include <time.h>

#include "host.h"
#include "stream.h"

enum {
  BUFFERED = 1,       /* Envoy's status of a body hook that wants more of the body */
  MOST_HEADERS = 128, /* of a map that is looked through without an allocation */
};

static statistics *of(pyfilter_stream *s) { return &whole_of(s)->statistics; }

static uint64_t nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t since(uint64_t start_ns) { return nanoseconds() - start_ns; }

static int side_of(int hook) { return hook >= HOOK_RESPONSE_HEADERS; }

static bool is_body(int hook) {
  return hook == HOOK_REQUEST_BODY || hook == HOOK_RESPONSE_BODY;
}

/* Told at once, so that streams that go on can be told from those that ended. */
static void count_started(pyfilter_stream *s, statistics *t) {
  t->started = true;
  (void)envoy_dynamic_module_callback_http_filter_increment_counter(
      s->envoy, s->config->statistics->counters[STATISTICS_STREAMS_STARTED], NULL, 0, 1);
}

static void finish(statistics *t, int side, int status) {
  open_call *o = &t->open[side];
  if (o->state == CLOSED) {
    return;
  }
  calls *c = &t->of[o->hook];
  uint64_t took_us = (o->spent_ns + (o->state == COLLECTING ? 0 : since(o->start_ns))) / 1000;
  o->state = CLOSED;
  t->sent += o->sent;
  c->count++;
  c->total_us += took_us;
  c->max_us = took_us > c->max_us ? took_us : c->max_us;
  c->last_status = (uint8_t)status;
  t->finished = true;
  if (status == CODE_OK || status == CODE_INVALID_ARGUMENT) {
    t->counts[STATISTICS_STREAM_MSGS_RECEIVED]++;
  }
}

static void finish_both(statistics *t, int status) {
  finish(t, 0, status);
  finish(t, 1, status);
}

/* --- what hooks are handed --- */

static size_t map_bytes(void *envoy, int map) {
  envoy_dynamic_module_type_envoy_http_header room[MOST_HEADERS];
  envoy_dynamic_module_type_envoy_http_header *headers = room;
  size_t count = envoy_dynamic_module_callback_http_get_headers_size(envoy, map);
  size_t bytes = 0;
  if (count > MOST_HEADERS) {
    headers = must_allocate(count * sizeof *headers);
  }
  if (count != 0 && envoy_dynamic_module_callback_http_get_headers(envoy, map, headers)) {
    for (size_t i = 0; i < count; i++) {
      bytes += headers[i].key_length + headers[i].value_length;
    }
  }
  if (headers != room) {
    free(headers);
  }
  return bytes;
}

/* late: the hook had to wait, so what it is about lies in Envoy's buffer. */
static size_t handed(void *envoy, int hook, bool late) {
  static const envoy_dynamic_module_type_http_body_type BODIES[SIDES][2] = {
      {envoy_dynamic_module_type_http_body_type_ReceivedRequestBody,
       envoy_dynamic_module_type_http_body_type_BufferedRequestBody},
      {envoy_dynamic_module_type_http_body_type_ReceivedResponseBody,
       envoy_dynamic_module_type_http_body_type_BufferedResponseBody},
  };
  static const int MAPS[CALLS] = {
      [HOOK_REQUEST_HEADERS] = envoy_dynamic_module_type_http_header_type_RequestHeader,
      [HOOK_REQUEST_TRAILERS] = envoy_dynamic_module_type_http_header_type_RequestTrailer,
      [HOOK_RESPONSE_HEADERS] = envoy_dynamic_module_type_http_header_type_ResponseHeader,
      [HOOK_RESPONSE_TRAILERS] = envoy_dynamic_module_type_http_header_type_ResponseTrailer,
  };
  if (is_body(hook)) {
    return envoy_dynamic_module_callback_http_get_body_size(envoy, BODIES[side_of(hook)][late]);
  }
  return map_bytes(envoy, MAPS[hook]);
}

/* --- calls --- */

/* Whether the filter is asked: not if it has failed, or answered. */
static bool is_call(const pyfilter_stream *s, const statistics *t, int hook) {
  return hook < CALLS && (s->config->wants & (1u << hook)) && s->envoy != NULL &&
         s->record.failed_hook == NULL && !t->over[side_of(hook)];
}

static void begin(pyfilter_stream *s, statistics *t, int hook, bool late) {
  open_call *o = &t->open[side_of(hook)];
  if (!t->started) {
    count_started(s, t);
  }
  if (o->state != COLLECTING || o->hook != hook) {
    finish(t, side_of(hook), CODE_OK); /* the next call of a side ends the wait of the last one */
    t->counts[STATISTICS_STREAM_MSGS_SENT]++;
    *o = (open_call){.hook = (uint8_t)hook};
  }
  t->refused = 0;
  o->sent += handed(s->envoy, hook, late);
  o->start_ns = nanoseconds();
  o->state = RUNNING;
}

/* After a pause at the headers Python keeps the other hooks of the side for later. */
static bool comes_later(const statistics *t, int hook) {
  const open_call *o = &t->open[side_of(hook)];
  return o->state == WAITING &&
         (o->hook == HOOK_REQUEST_HEADERS || o->hook == HOOK_RESPONSE_HEADERS);
}

void statistics_begin(pyfilter_stream *s, int hook) {
  statistics *t = of(s);
  t->completing |= hook == HOOK_STREAM_COMPLETE;
  if (is_call(s, t, hook) && !comes_later(t, hook)) {
    begin(s, t, hook, false);
  }
}

void statistics_end(pyfilter_stream *s, int hook, int crossed) {
  open_call *o = &of(s)->open[side_of(hook)];
  if (o->state != RUNNING || o->hook != hook) {
    return; /* it has ended before its hook returned */
  }
  if (crossed >= 0 && (crossed & PAUSED)) {
    o->state = WAITING;
  } else if (crossed == BUFFERED && is_body(hook)) {
    o->spent_ns += since(o->start_ns);
    o->state = COLLECTING;
  } else {
    finish(of(s), side_of(hook), CODE_OK);
  }
}

void statistics_resumed(pyfilter_stream *s, int side) { finish(of(s), side, CODE_OK); }

/* --- answers and failures --- */

void statistics_reply(pyfilter_stream *s, bool whole, size_t bytes) {
  statistics *t = of(s);
  t->counts[STATISTICS_IMMEDIATE_RESPONSES_SENT]++;
  if (s->record.failed_hook == NULL) {
    t->immediate_response = true;
  }
  statistics_reply_goes_on(s, whole, bytes);
}

void statistics_reply_goes_on(pyfilter_stream *s, bool whole, size_t bytes) {
  statistics *t = of(s);
  if (s->record.failed_hook == NULL) {
    t->received += bytes;
  }
  t->over[1] = true;
  if (whole) {
    t->over[0] = true;
    finish_both(t, CODE_OK);
  }
}

void statistics_reset(pyfilter_stream *s) {
  statistics *t = of(s);
  t->over[0] = t->over[1] = true;
  finish_both(t, CODE_OK);
}

static calls *calls_of(statistics *t, int part) {
  static const uint8_t HOOK_OF[] = {HOOK_REQUEST_HEADERS,  HOOK_REQUEST_TRAILERS,
                                    HOOK_RESPONSE_HEADERS, HOOK_RESPONSE_TRAILERS,
                                    HOOK_REQUEST_BODY,     HOOK_RESPONSE_BODY};
  return &t->of[HOOK_OF[part]];
}

static int counter_of(int code) {
  return code == CODE_FAILED_PRECONDITION ? STATISTICS_SPURIOUS_MSGS_RECEIVED
         : code == CODE_INVALID_ARGUMENT  ? -1 /* it is a message that was received */
                                          : STATISTICS_STREAMS_FAILED;
}

void statistics_hook_failed(pyfilter_stream *s, int code) {
  statistics *t = of(s);
  int which = counter_of(code);
  if (which >= 0) {
    t->counts[which]++;
  }
  if (!t->started) {
    t->status_before_first_call = (uint8_t)code;
  }
  if (code == CODE_INVALID_ARGUMENT && t->refused != 0) {
    calls_of(t, t->refused - 1)->effect = EFFECT_REJECTED;
  }
  finish_both(t, code);
  if (t->completing) {
    return;
  }
  if (s->config->allow_on_error) {
    t->failed_open = true;
    t->counts[STATISTICS_FAILURE_MODE_ALLOWED]++;
  } else {
    t->failed_closed = which == STATISTICS_STREAMS_FAILED;
  }
}

/* --- changes --- */

/* What a hook was refused is an effect only if the hook fails of it. */
void statistics_change(pyfilter_stream *s, int part, int effect, size_t bytes) {
  statistics *t = of(s);
  if (effect == EFFECT_REJECTED) {
    t->refused = (uint8_t)(part + 1);
    t->counts[STATISTICS_REJECTED_HEADER_MUTATIONS] += part < PART_REQUEST_BODY;
  } else {
    calls_of(t, part)->effect = (uint8_t)effect;
  }
  if (effect == EFFECT_TOO_LARGE) { /* the stream is reset for it */
    finish(t, part == PART_RESPONSE_BODY, CODE_RESOURCE_EXHAUSTED);
  }
  t->received += bytes;
}

/* --- the end --- */

static void count_all(const pyfilter_stream *s, const statistics *t) {
  for (int i = 0; i < STATISTICS_COUNTERS; i++) {
    if (t->counts[i] != 0) {
      (void)envoy_dynamic_module_callback_http_filter_increment_counter(
          s->envoy, s->config->statistics->counters[i], NULL, 0, t->counts[i]);
    }
  }
}

static void tell_conflict(pyfilter_stream *s, pyfilter_statistics *c) {
  (void)envoy_dynamic_module_callback_http_filter_increment_counter(s->envoy, c->conflicts, NULL, 0,
                                                                    1);
  if (!atomic_exchange_explicit(&c->conflict_logged, true, memory_order_relaxed)) {
    host_log(envoy_dynamic_module_type_log_level_Warn,
             "envoy_pyfilter: statistics: the filter state %.*s, or a field's, was written before "
             "by another filter of the same stream; its value stays (said once, counted in "
             "state_conflicts)",
             (int)c->key.length, c->key.data);
  }
}

/* A hook that is on the stack has answered: it ended the stream. One that paused has not, and a
 * body that did not come whole was never asked about. */
static void finish_running(statistics *t) {
  for (int side = 0; side < SIDES; side++) {
    if (t->open[side].state == RUNNING) {
      finish(t, side, CODE_OK);
    }
    t->counts[STATISTICS_STREAM_MSGS_SENT] -= t->open[side].state == COLLECTING;
    t->open[side].state = CLOSED;
    t->over[side] = true;
  }
}

void statistics_complete(pyfilter_stream *s) {
  statistics *t = of(s);
  if (t->written) {
    return;
  }
  t->written = true;
  finish_running(t);
  t->counts[STATISTICS_STREAMS_CLOSED] = t->started && !t->failed_closed;
  count_all(s, t);
  if (!statistics_write(s->config->statistics, t, s->envoy)) {
    tell_conflict(s, s->config->statistics);
  }
}

/* --- what Python says (services.h) --- */

void pyfilter_late_begins(pyfilter_stream *s, int hook) {
  if (s->config->statistics != NULL && is_call(s, of(s), hook)) {
    begin(s, of(s), hook, true);
  }
}

void pyfilter_late_ends(pyfilter_stream *s, int hook, int crossed) {
  if (s->config->statistics != NULL) {
    statistics_end(s, hook, crossed);
  }
}

pyfilter_statistics *pyfilter_statistics_new(const char *key, size_t key_length,
                                             const char *name_space, size_t name_space_length,
                                             const char *destination, size_t destination_length) {
  pyfilter_statistics *c = calloc(1, sizeof *c);
  if (c == NULL) {
    abort();
  }
  c->key = slice_copy(key, key_length);
  c->name_space = slice_copy(name_space, name_space_length);
  c->destination = slice_copy(destination, destination_length);
  c->tells_destination = pyfilter_host_release() >= 40;
  return c;
}

bool pyfilter_statistics_field(pyfilter_statistics *c, const char *name, const char *key,
                               size_t key_length) {
  int field = statistics_field((slice){name, strlen(name)});
  if (field >= 0) {
    c->fields = one_more(c->fields, c->field_count, sizeof *c->fields);
    c->fields[c->field_count++] = (field_key){slice_copy(key, key_length), field};
  }
  return field >= 0;
}

void pyfilter_statistics_counter(pyfilter_statistics *c, int which, size_t id) {
  if (which == STATISTICS_CONFLICTS) {
    c->conflicts = id;
  } else {
    c->counters[which] = id;
  }
}

void statistics_free(pyfilter_statistics *c) {
  for (size_t i = 0; i < c->field_count; i++) {
    free((char *)c->fields[i].key.data);
  }
  free(c->fields);
  free((char *)c->key.data);
  free((char *)c->name_space.data);
  free((char *)c->destination.data);
  free(c);
}
