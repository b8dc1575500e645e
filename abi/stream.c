/* SPDX-License-Identifier: Apache-2.0
 *
 * stream.c: what happens in each hook of a stream, and in which order: the decision lane first
 * (Python, where the class wants the hook), then the record lane.
 *
 * Up to Envoy 1.39 a callback that we make can destroy the stream while a hook of it is still on
 * our stack. So a hook enters and leaves: `depth` counts the hooks on the stack, `envoy` is NULL
 * once Envoy's side is gone, and the memory goes with the outermost hook.
 */
#include "stream.h"

#include <stdlib.h>

#include "crossing.h"

enum { CONTINUE = 0, STOP = 1, STOP_NO_BUFFER = 3 };

static void enter(pyfilter_stream *s) { s->depth++; }

/* The outermost hook takes the memory of a stream whose host is gone. */
static void leave(pyfilter_stream *s) {
  s->depth--;
  if (s->depth == 0 && s->envoy == NULL) {
    record_end(s);
    config_release(s->owner);
    free(s);
  }
}

/* Whether Python holds the side that this hook belongs to. Our Continue would let it go, so Python
 * is asked though its class does not want the hook. */
static bool holds(const pyfilter_stream *s, uint32_t hook) {
  return (s->held && (hook & (WANT_REQUEST_BODY | WANT_REQUEST_TRAILERS))) ||
         (s->response_held && (hook & (WANT_RESPONSE_BODY | WANT_RESPONSE_TRAILERS)));
}

/* Whether this hook has to cross into Python; makes the Python side before the first crossing. */
static bool wanted(pyfilter_stream *s, uint32_t hook) {
  if (!(s->config->wants & hook) && !holds(s, hook)) {
    return false;
  }
  if (s->python == NULL) {
    s->python = pyfilter_stream_new(s->config->python, s, s->envoy);
  }
  return s->python != NULL;
}

/* The seam itself failed (_hooks.py gives -1 then): Python could not even settle its own failure.
 * Nothing is let through: the client gets a 500 and the hook stops. */
static int settle(pyfilter_stream *s, int status, int stop) {
  if (status >= 0) {
    return status;
  }
  if (s->envoy != NULL) {
    envoy_dynamic_module_type_module_buffer details = {"pyfilter_seam_failed", 20};
    pyfilter_reply(s, 500, NULL, 0, (envoy_dynamic_module_type_module_buffer){NULL, 0}, details);
  }
  return stop;
}

static void count_hook_errors(pyfilter_stream *s, uint64_t count) {
  if (s->config->hook_errors != 0) {
    (void)envoy_dynamic_module_callback_http_filter_increment_counter(
        s->envoy, s->config->hook_errors, NULL, 0, count);
  }
}

/* Counts failures of streams that were gone when they failed. */
static void publish_hook_errors(pyfilter_stream *s) {
  atomic_ullong *pending = &s->owner->pending_hook_errors;
  if (atomic_load_explicit(pending, memory_order_relaxed) != 0) {
    count_hook_errors(s, atomic_exchange(pending, 0));
  }
}

/* After a verdict on the request: the entry is written once the request passes, and waits while
 * Python holds the request back. `status` is 0 exactly when it passes. */
static void request_passes(pyfilter_stream *s, int status) {
  s->held = status != CONTINUE;
  if (!s->held && s->envoy != NULL) {
    record_request(s, RECORD_REQUEST);
  }
}

/* Never NULL: up to 1.39 Envoy would go on calling the hooks with it. */
pyfilter_stream *stream_new(filter_config *owner, void *envoy) {
  pyfilter_stream *s = calloc(1, sizeof *s);
  if (s == NULL) {
    abort();
  }
  s->owner = owner;
  s->config = &owner->loaded;
  s->envoy = envoy;
  record_begin(s);
  return s;
}

/* Envoy lets go of the config next, so it is held until the stream leaves. */
void stream_destroy(pyfilter_stream *s) {
  enter(s);
  config_hold(s->owner);
  s->envoy = NULL;
  if (s->python != NULL) {
    pyfilter_stream_destroy(s->python);
    s->python = NULL;
  }
  leave(s);
}

int stream_request_headers(pyfilter_stream *s, bool end_of_stream) {
  enter(s);
  int status = CONTINUE;
  if (wanted(s, WANT_REQUEST_HEADERS)) {
    status = settle(s, pyfilter_request_headers(s->python, end_of_stream), STOP);
  }
  request_passes(s, status);
  leave(s);
  return status;
}

int stream_request_body(pyfilter_stream *s, bool end_of_stream) {
  enter(s);
  int status = CONTINUE;
  if (wanted(s, WANT_REQUEST_BODY)) {
    status = settle(s, pyfilter_request_body(s->python, end_of_stream), STOP_NO_BUFFER);
  }
  request_passes(s, status);
  leave(s);
  return status;
}

int stream_request_trailers(pyfilter_stream *s) {
  enter(s);
  int status = CONTINUE;
  if (wanted(s, WANT_REQUEST_TRAILERS)) {
    status = settle(s, pyfilter_request_trailers(s->python), STOP);
  }
  request_passes(s, status);
  leave(s);
  return status;
}

/* After a verdict on the response. `status` is 0 exactly when it passes: then its headers are on
 * their way, and if it ends here the record lane may be told to write already. */
static void response_passes(pyfilter_stream *s, int status, bool end_of_stream) {
  s->record.response_seen = true;
  s->response_held = status != CONTINUE;
  if (s->response_held) {
    return;
  }
  s->response_begun = true;
  if (end_of_stream && s->envoy != NULL) {
    record_end_of_stream(s);
  }
}

int stream_response_headers(pyfilter_stream *s, bool end_of_stream) {
  enter(s);
  int status = CONTINUE;
  if (wanted(s, WANT_RESPONSE_HEADERS)) {
    status = settle(s, pyfilter_response_headers(s->python, end_of_stream), STOP);
  }
  response_passes(s, status, end_of_stream);
  leave(s);
  return status;
}

int stream_response_body(pyfilter_stream *s, bool end_of_stream) {
  enter(s);
  int status = CONTINUE;
  if (wanted(s, WANT_RESPONSE_BODY)) {
    status = settle(s, pyfilter_response_body(s->python, end_of_stream), STOP_NO_BUFFER);
  }
  response_passes(s, status, end_of_stream);
  leave(s);
  return status;
}

int stream_response_trailers(pyfilter_stream *s) {
  enter(s);
  int status = CONTINUE;
  if (wanted(s, WANT_RESPONSE_TRAILERS)) {
    status = settle(s, pyfilter_response_trailers(s->python), STOP);
  }
  response_passes(s, status, true);
  leave(s);
  return status;
}

int stream_local_reply(pyfilter_stream *s, uint32_t status, const char *details,
                       size_t details_length, bool reset_imminent) {
  enter(s);
  int answer = CONTINUE;
  record_local_reply(s, details, details_length);
  if (wanted(s, WANT_LOCAL_REPLY)) {
    answer = pyfilter_local_reply(s->python, status, details, details_length, reset_imminent);
  }
  leave(s);
  return answer;
}

void stream_complete(pyfilter_stream *s) {
  enter(s);
  if (wanted(s, WANT_STREAM_COMPLETE)) {
    pyfilter_stream_complete(s->python);
  }
  if (s->envoy != NULL) {
    record_complete(s);
    publish_hook_errors(s);
  }
  leave(s);
}

void stream_above_watermark(pyfilter_stream *s) {
  enter(s);
  if (wanted(s, WANT_ABOVE_WATERMARK)) {
    pyfilter_above_watermark(s->python);
  }
  leave(s);
}

void stream_below_watermark(pyfilter_stream *s) {
  enter(s);
  if (wanted(s, WANT_BELOW_WATERMARK)) {
    pyfilter_below_watermark(s->python);
  }
  leave(s);
}

void stream_scheduled(pyfilter_stream *s, uint64_t event_id) {
  enter(s);
  if (s->python != NULL) {
    pyfilter_scheduled(s->python, event_id);
  }
  leave(s);
}

/* --- what Python asks of its stream (services.h); a hook of it is on the stack --- */

void pyfilter_reply(pyfilter_stream *s, uint32_t status,
                    envoy_dynamic_module_type_module_http_header *headers, size_t headers_length,
                    envoy_dynamic_module_type_module_buffer body,
                    envoy_dynamic_module_type_module_buffer details) {
  record_request(s, RECORD_DENIED);
  s->record.response_seen = true;
  envoy_dynamic_module_callback_http_send_response(s->envoy, status, headers, headers_length, body,
                                                   details);
}

void pyfilter_reply_headers(pyfilter_stream *s,
                            envoy_dynamic_module_type_module_http_header *headers,
                            size_t headers_length, bool end_of_stream) {
  record_request(s, RECORD_DENIED);
  s->record.response_seen = true;
  envoy_dynamic_module_callback_http_send_response_headers(s->envoy, headers, headers_length,
                                                           end_of_stream);
}

void pyfilter_resume_request(pyfilter_stream *s) {
  request_passes(s, CONTINUE);
  envoy_dynamic_module_callback_http_filter_continue_decoding(s->envoy);
}

bool pyfilter_response_begun(pyfilter_stream *s) { return s->response_begun; }

void pyfilter_resume_response(pyfilter_stream *s) {
  s->response_begun = true;
  s->response_held = false;
  envoy_dynamic_module_callback_http_filter_continue_encoding(s->envoy);
}

/* A hook of the stream is on the stack, so the stream is there; its host may be gone. */
void pyfilter_hook_failed(pyfilter_stream *s, const char *hook) {
  s->record.failed_hook = hook;
  if (s->envoy != NULL) {
    count_hook_errors(s, 1);
  } else {
    atomic_fetch_add(&s->owner->pending_hook_errors, 1);
  }
}
