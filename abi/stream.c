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
#include "settle.h"

static void enter(pyfilter_stream *s) { s->depth++; }

/* Tells Python that Envoy's side is gone. It can fail deep in a hook that recursed; then the
 * outermost hook asks again, when Python's stack is empty. */
static void end_python(pyfilter_stream *s) {
  if (s->python != NULL && pyfilter_stream_destroy(s->python)) {
    s->python = NULL;
    s->watched = NULL;
  }
}

/* The outermost hook takes the memory of a stream whose host is gone. */
static void leave(pyfilter_stream *s) {
  s->depth--;
  if (s->depth == 0 && s->envoy == NULL) {
    end_python(s);
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

/* Whether this hook has to cross into Python. */
static bool wanted(const pyfilter_stream *s, uint32_t hook) {
  return (s->config->wants & hook) || holds(s, hook);
}

/* Makes the Python side, before the first crossing; false when Python could not: then what it told
 * to watch is gone, too. */
static bool has_python(pyfilter_stream *s) {
  if (s->python == NULL) {
    void **watched = NULL;
    s->python = pyfilter_stream_new(s->config->python, s, s->envoy, &watched);
    s->watched = s->python != NULL ? watched : NULL;
  }
  return s->python != NULL;
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
  if (s->watched != NULL) {
    *s->watched = NULL; /* nothing that Python tries from here on reaches Envoy */
  }
  end_python(s);
  leave(s);
}

int stream_request_headers(pyfilter_stream *s, bool end_of_stream) {
  enter(s);
  int status = CONTINUE;
  if (wanted(s, WANT_REQUEST_HEADERS)) {
    int crossed = has_python(s) ? pyfilter_request_headers(s->python, end_of_stream) : -1;
    status = settle(s, crossed, STOP);
  }
  request_passes(s, status);
  leave(s);
  return status;
}

int stream_request_body(pyfilter_stream *s, bool end_of_stream) {
  enter(s);
  int status = CONTINUE;
  if (wanted(s, WANT_REQUEST_BODY)) {
    int crossed = has_python(s) ? pyfilter_request_body(s->python, end_of_stream) : -1;
    status = settle(s, crossed, STOP_NO_BUFFER);
  }
  request_passes(s, status);
  leave(s);
  return status;
}

int stream_request_trailers(pyfilter_stream *s) {
  enter(s);
  int status = CONTINUE;
  if (wanted(s, WANT_REQUEST_TRAILERS)) {
    int crossed = has_python(s) ? pyfilter_request_trailers(s->python) : -1;
    status = settle(s, crossed, STOP);
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
    int crossed = has_python(s) ? pyfilter_response_headers(s->python, end_of_stream) : -1;
    status = settle(s, crossed, STOP);
  }
  response_passes(s, status, end_of_stream);
  leave(s);
  return status;
}

int stream_response_body(pyfilter_stream *s, bool end_of_stream) {
  enter(s);
  int status = CONTINUE;
  if (wanted(s, WANT_RESPONSE_BODY)) {
    int crossed = has_python(s) ? pyfilter_response_body(s->python, end_of_stream) : -1;
    status = settle(s, crossed, STOP_NO_BUFFER);
  }
  response_passes(s, status, end_of_stream);
  leave(s);
  return status;
}

int stream_response_trailers(pyfilter_stream *s) {
  enter(s);
  int status = CONTINUE;
  if (wanted(s, WANT_RESPONSE_TRAILERS)) {
    int crossed = has_python(s) ? pyfilter_response_trailers(s->python) : -1;
    status = settle(s, crossed, STOP);
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
  if (wanted(s, WANT_LOCAL_REPLY) && has_python(s)) {
    answer = pyfilter_local_reply(s->python, status, details, details_length, reset_imminent);
  }
  leave(s);
  return answer;
}

void stream_complete(pyfilter_stream *s) {
  enter(s);
  if (wanted(s, WANT_STREAM_COMPLETE) && has_python(s)) {
    pyfilter_stream_complete(s->python);
  }
  if (s->envoy != NULL) {
    record_complete(s);
    settle_publish(s);
  }
  leave(s);
}

void stream_above_watermark(pyfilter_stream *s) {
  enter(s);
  if (wanted(s, WANT_ABOVE_WATERMARK) && has_python(s)) {
    pyfilter_above_watermark(s->python);
  }
  leave(s);
}

void stream_below_watermark(pyfilter_stream *s) {
  enter(s);
  if (wanted(s, WANT_BELOW_WATERMARK) && has_python(s)) {
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
