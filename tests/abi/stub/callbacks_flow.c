/* SPDX-License-Identifier: Apache-2.0
 *
 * callbacks_flow.c: what a module does to its stream: replies, pauses, resets, wake-ups.
 */
#include "stub.h"

#include <stdio.h>
#include <stdlib.h>

#define MAY(name) may_call(envoy, #name)

atomic_int live_schedulers;

/* --- replies; the script may end the stream inside of each --- */

static json happened(stream *s, const char *what) {
  json j = event("call", what);
  json_text(&j, "stream", s->quiet ? "load" : s->id);
  return j;
}

static void tell(stream *s, json *j) {
  if (s->quiet) {
    free(j->text);
  } else {
    json_send(j);
  }
}

/* The event of a callback that only happens, and what the script does inside of it. */
static void done(stream *s, json *j, const char *what) {
  tell(s, j);
  inject(s, what);
}

/* Puts the module's headers into a map and into the event. */
static void take_headers(header_map *m, TYPE(module_http_header) * headers, size_t count, json *j) {
  json_open(j, "headers", '[');
  for (size_t i = 0; i < count; i++) {
    TYPE(module_http_header) h = headers[i];
    map_add(m, bytes_copy(h.key_ptr, h.key_length), bytes_copy(h.value_ptr, h.value_length));
    json_open(j, NULL, '[');
    json_bytes(j, NULL, h.key_ptr, h.key_length);
    json_bytes(j, NULL, h.value_ptr, h.value_length);
    json_close(j, ']');
  }
  json_close(j, ']');
}

static void replace_response(stream *s, header_map sent) {
  lend_release(s, RESPONSE_HEADERS, 0);
  map_clear(&s->maps[RESPONSE_HEADERS]);
  s->maps[RESPONSE_HEADERS] = sent;
}

HOST_CALLBACK void CALLBACK(http_send_response)(void *envoy, uint32_t code,
                                                TYPE(module_http_header) * headers, size_t count,
                                                TYPE(module_buffer) body,
                                                TYPE(module_buffer) details) {
  stream *s = envoy;
  if (!MAY(http_send_response)) {
    return;
  }
  s->replied = true;
  json j = happened(s, "send_response");
  json_number(&j, "code", code);
  char status[16];
  int length = snprintf(status, sizeof status, "%u", code);
  header_map sent = {false, 0, NULL};
  map_add(&sent, bytes_copy(":status", 7), bytes_copy(status, (size_t)length));
  take_headers(&sent, headers, count, &j);
  json_bytes(&j, "body", body.ptr, body.length);
  json_bytes(&j, "details", details.ptr, details.length);
  tell(s, &j);
  attribute_put(s, TYPE(attribute_id_ResponseCode), 'i', (bytes){NULL, 0}, code);
  if (settings.local_reply_hook) { /* inline; the new headers are not in the map yet */
    (void)hook_local_reply(s, code, bytes_of(details), false);
  }
  replace_response(s, sent);
  inject(s, "send_response");
}

HOST_CALLBACK void CALLBACK(http_send_response_headers)(void *envoy,
                                                        TYPE(module_http_header) * headers,
                                                        size_t count, bool end) {
  stream *s = envoy;
  if (MAY(http_send_response_headers)) {
    s->replied = true;
    json j = happened(s, "send_response_headers");
    header_map sent = {false, 0, NULL};
    take_headers(&sent, headers, count, &j);
    json_bool(&j, "end", end);
    replace_response(s, sent);
    done(s, &j, "send_response_headers");
  }
}

HOST_CALLBACK void CALLBACK(http_send_response_data)(void *envoy, TYPE(module_buffer) data,
                                                     bool end) {
  stream *s = envoy;
  if (MAY(http_send_response_data)) {
    json j = happened(s, "send_response_data");
    json_bytes(&j, "data", data.ptr, data.length);
    json_bool(&j, "end", end);
    done(s, &j, "send_response_data");
  }
}

HOST_CALLBACK void CALLBACK(http_send_response_trailers)(void *envoy,
                                                         TYPE(module_http_header) * trailers,
                                                         size_t count) {
  stream *s = envoy;
  if (MAY(http_send_response_trailers)) {
    json j = happened(s, "send_response_trailers");
    take_headers(&s->maps[RESPONSE_TRAILERS], trailers, count, &j);
    done(s, &j, "send_response_trailers");
  }
}

/* --- the flow of a stream --- */

#define SIGNAL(name, short_name)                                                                   \
  HOST_CALLBACK void CALLBACK(name)(void *envoy) {                                                 \
    if (MAY(name)) {                                                                               \
      json j = happened(envoy, short_name);                                                        \
      done(envoy, &j, short_name);                                                                 \
    }                                                                                              \
  }

SIGNAL(http_filter_continue_decoding, "continue_decoding")
SIGNAL(http_filter_continue_encoding, "continue_encoding")
SIGNAL(http_clear_route_cache, "clear_route_cache")
SIGNAL(http_clear_route_cluster_cache, "clear_route_cluster_cache")

HOST_CALLBACK void CALLBACK(http_filter_reset_stream)(void *envoy,
                                                      TYPE(http_filter_stream_reset_reason) reason,
                                                      TYPE(module_buffer) details) {
  if (MAY(http_filter_reset_stream)) {
    json j = happened(envoy, "reset_stream");
    json_number(&j, "reason", reason);
    json_bytes(&j, "details", details.ptr, details.length);
    done(envoy, &j, "reset_stream");
  }
}

HOST_CALLBACK void CALLBACK(http_add_custom_flag)(void *envoy, TYPE(module_buffer) flag) {
  if (MAY(http_add_custom_flag)) {
    json j = happened(envoy, "add_custom_flag");
    json_bytes(&j, "flag", flag.ptr, flag.length);
    done(envoy, &j, "add_custom_flag");
  }
}

/* --- schedulers: they may outlive the stream, and any thread may use them --- */

HOST_CALLBACK void *CALLBACK(http_filter_scheduler_new)(void *envoy) {
  if (!MAY(http_filter_scheduler_new)) {
    return NULL;
  }
  mailbox *m = ((stream *)envoy)->mailbox;
  pthread_mutex_lock(&m->lock);
  m->holders++;
  pthread_mutex_unlock(&m->lock);
  mailbox **scheduler = must(malloc(sizeof *scheduler));
  *scheduler = m;
  atomic_fetch_add(&live_schedulers, 1);
  return scheduler;
}

HOST_CALLBACK void CALLBACK(http_filter_scheduler_commit)(void *scheduler, uint64_t id) {
  mailbox *m = *(mailbox **)scheduler;
  pthread_mutex_lock(&m->lock);
  if (!m->closed && m->count < sizeof m->ids / sizeof m->ids[0]) {
    m->ids[m->count++] = id;
    pthread_cond_signal(&m->filled);
  }
  pthread_mutex_unlock(&m->lock);
}

HOST_CALLBACK void CALLBACK(http_filter_scheduler_delete)(void *scheduler) {
  mailbox *m = *(mailbox **)scheduler;
  pthread_mutex_lock(&m->lock);
  bool last = --m->holders == 0;
  pthread_mutex_unlock(&m->lock);
  if (last) {
    free(m);
  }
  free(scheduler);
  atomic_fetch_sub(&live_schedulers, 1);
}
