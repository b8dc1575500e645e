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

#include "crossing.h"
#include "reads.h"
#include "settle.h"
#include "worker.h"

/* The first arguments of each crossing: who is asked, by which hook, and what that hook reads. */
#define SEATED(s, hook)                                                   \
  (s)->config->number, (s)->seat->number,                                 \
      atomic_load_explicit(&(s)->seat->serial, memory_order_relaxed),     \
      reads_run((s)->config->reads, hook, (s)->envoy, (s)->seat->area)

/* What Envoy gets in place of a stream when its config neither wants a hook nor records: all such
 * streams are one, and nothing is ever written to it. */
static pyfilter_stream nobody;

/* False: the hook is over. */
static bool enter(pyfilter_stream *s) {
  if (s == &nobody) {
    return false;
  }
  s->depth++;
  return true;
}

/* Tells Python that Envoy's side is gone, if it holds anything of it. It can fail deep in a hook that
 * recursed; then the outermost hook asks again, when Python's stack is empty. */
static void end_python(pyfilter_stream *s) {
  if (s->kept && pyfilter_stream_destroy(s->seat->number)) {
    s->kept = false;
  }
}

/* A seat of which Python could not let go is nobody's any more. */
static void leave_seat(pyfilter_stream *s) {
  if (s->seat != NULL && s->kept) {
    seat_abandon(s->seat);
  } else if (s->seat != NULL) {
    seat_leave(s->seat);
  }
}

/* The outermost hook takes the memory of a stream whose host is gone. */
static void leave(pyfilter_stream *s) {
  s->depth--;
  if (s->depth == 0 && s->envoy == NULL) {
    end_python(s);
    leave_seat(s);
    if (s->record.notes != NULL || s->record.details != NULL) {
      record_end(s);
    }
    if (s->config_held) {
      config_release(s->config);
    }
    worker_keep_stream(s);
  }
}

/* Whether Python holds the side that this hook belongs to. Our Continue would let it go, so Python
 * is asked though its class does not want the hook. */
static bool holds(const pyfilter_stream *s, uint32_t hook) {
  return (s->request_held && (hook & (WANT_REQUEST_BODY | WANT_REQUEST_TRAILERS))) ||
         (s->response_held && (hook & (WANT_RESPONSE_BODY | WANT_RESPONSE_TRAILERS)));
}

/* Whether this hook has to cross into Python. */
static bool wanted(const pyfilter_stream *s, uint32_t hook) {
  return (s->config->wants & hook) || holds(s, hook);
}

/* Before a crossing: Python makes its side in the first one. */
static void sit(pyfilter_stream *s, int hook) {
  if (s->seat == NULL) {
    s->seat = seat_take(s, s->envoy);
  }
  s->kept = true;
  if (s->config->statistics != NULL) {
    statistics_begin(s, hook);
  }
}

/* After a crossing that gave a status; stop: the one with which this hook stops. */
static int crossed_back(pyfilter_stream *s, int hook, int crossed, int stop) {
  int status = settle(s, crossed, stop);
  if (s->config->statistics != NULL) {
    statistics_end(s, hook, crossed);
  }
  return status;
}

/* After a verdict on the request: the entry is written once the request passes, and waits while
 * Python holds the request back. `status` is 0 exactly when it passes. */
static void request_passes(pyfilter_stream *s, int status) {
  s->request_held = status != CONTINUE;
  if (!s->request_held && s->envoy != NULL && (s->config->records & RECORDS_REQUEST)) {
    record_request(s, RECORD_REQUEST);
  }
}

static void begin_records(pyfilter_stream *s, uint32_t records) {
  if (records & RECORDS_CLOCK) {
    record_clock(&s->record);
  }
  if (records & RECORDS_STATISTICS) {
    whole_of(s)->statistics = (statistics){0};
  }
}

/* Never NULL: up to 1.39 Envoy would go on calling the hooks with it. */
pyfilter_stream *stream_new(pyfilter_config *config, void *envoy) {
  if (config->wants == 0 && config->plan == NULL) {
    return &nobody;
  }
  worker *w = worker_self();
  pyfilter_stream *s = w->kept > 0 ? w->streams[--w->kept] : must_allocate(sizeof(whole_stream));
  *s = (pyfilter_stream){.config = config, .envoy = envoy};
  if (config->records & (RECORDS_CLOCK | RECORDS_STATISTICS)) {
    begin_records(s, config->records);
  }
  return s;
}

/* Envoy lets go of the config next, so a stream that outlives this hook holds it. */
void stream_destroy(pyfilter_stream *s) {
  if (!enter(s)) {
    return;
  }
  if (s->depth > 1) {
    config_hold(s->config);
    s->config_held = true;
  }
  s->envoy = NULL;
  if (s->seat != NULL) {
    seat_gone(s->seat); /* nothing that Python tries from here on reaches Envoy */
  }
  end_python(s);
  leave(s);
}

int stream_request_headers(pyfilter_stream *s, bool end_of_stream) {
  if (!enter(s)) {
    return CONTINUE;
  }
  int status = CONTINUE;
  if (wanted(s, WANT_REQUEST_HEADERS)) {
    sit(s, HOOK_REQUEST_HEADERS);
    int crossed = pyfilter_request_headers(SEATED(s, HOOK_REQUEST_HEADERS), end_of_stream);
    status = crossed_back(s, HOOK_REQUEST_HEADERS, crossed, STOP);
  }
  request_passes(s, status);
  leave(s);
  return status;
}

int stream_request_body(pyfilter_stream *s, bool end_of_stream) {
  if (!enter(s)) {
    return CONTINUE;
  }
  int status = CONTINUE;
  if (wanted(s, WANT_REQUEST_BODY)) {
    sit(s, HOOK_REQUEST_BODY);
    int crossed = pyfilter_request_body(SEATED(s, HOOK_REQUEST_BODY), end_of_stream);
    status = crossed_back(s, HOOK_REQUEST_BODY, crossed, STOP_NO_BUFFER);
  }
  request_passes(s, status);
  leave(s);
  return status;
}

int stream_request_trailers(pyfilter_stream *s) {
  if (!enter(s)) {
    return CONTINUE;
  }
  int status = CONTINUE;
  if (wanted(s, WANT_REQUEST_TRAILERS)) {
    sit(s, HOOK_REQUEST_TRAILERS);
    int crossed = pyfilter_request_trailers(SEATED(s, HOOK_REQUEST_TRAILERS));
    status = crossed_back(s, HOOK_REQUEST_TRAILERS, crossed, STOP);
  }
  request_passes(s, status);
  leave(s);
  return status;
}

/* The response's headers are on their way: the first time, the record lane may have to write. */
static void response_begins(pyfilter_stream *s) {
  if (!s->response_begun) {
    s->response_begun = true;
    if (s->config->records & RECORDS_RESPONSE) {
      record_response(s);
    }
  }
}

/* After a verdict on the response. `status` is 0 exactly when it passes: then its headers are on
 * their way, and if it ends here the record lane may be told to write already. */
static void response_passes(pyfilter_stream *s, int status, bool end_of_stream) {
  s->record.response_seen = true;
  s->response_held = status != CONTINUE;
  if (s->response_held) {
    return;
  }
  response_begins(s);
  if (end_of_stream && s->envoy != NULL && (s->config->records & RECORDS_END_OF_STREAM)) {
    record_end_of_stream(s);
  }
}

int stream_response_headers(pyfilter_stream *s, bool end_of_stream) {
  if (!enter(s)) {
    return CONTINUE;
  }
  int status = CONTINUE;
  if (wanted(s, WANT_RESPONSE_HEADERS)) {
    sit(s, HOOK_RESPONSE_HEADERS);
    int crossed = pyfilter_response_headers(SEATED(s, HOOK_RESPONSE_HEADERS), end_of_stream);
    status = crossed_back(s, HOOK_RESPONSE_HEADERS, crossed, STOP);
  }
  response_passes(s, status, end_of_stream);
  leave(s);
  return status;
}

int stream_response_body(pyfilter_stream *s, bool end_of_stream) {
  if (!enter(s)) {
    return CONTINUE;
  }
  int status = CONTINUE;
  if (wanted(s, WANT_RESPONSE_BODY)) {
    sit(s, HOOK_RESPONSE_BODY);
    int crossed = pyfilter_response_body(SEATED(s, HOOK_RESPONSE_BODY), end_of_stream);
    status = crossed_back(s, HOOK_RESPONSE_BODY, crossed, STOP_NO_BUFFER);
  }
  response_passes(s, status, end_of_stream);
  leave(s);
  return status;
}

int stream_response_trailers(pyfilter_stream *s) {
  if (!enter(s)) {
    return CONTINUE;
  }
  int status = CONTINUE;
  if (wanted(s, WANT_RESPONSE_TRAILERS)) {
    sit(s, HOOK_RESPONSE_TRAILERS);
    int crossed = pyfilter_response_trailers(SEATED(s, HOOK_RESPONSE_TRAILERS));
    status = crossed_back(s, HOOK_RESPONSE_TRAILERS, crossed, STOP);
  }
  response_passes(s, status, true);
  leave(s);
  return status;
}

int stream_local_reply(pyfilter_stream *s, uint32_t status, const char *details,
                       size_t details_length, bool reset_imminent) {
  if (!enter(s)) {
    return CONTINUE;
  }
  int answer = CONTINUE;
  s->answered = true;
  record_local_reply(s, details, details_length);
  if (wanted(s, WANT_LOCAL_REPLY)) {
    sit(s, HOOK_LOCAL_REPLY);
    answer = pyfilter_local_reply(SEATED(s, HOOK_LOCAL_REPLY), status, details, details_length,
                                  reset_imminent);
  }
  leave(s);
  return answer;
}

void stream_complete(pyfilter_stream *s) {
  if (!enter(s)) {
    return;
  }
  if (wanted(s, WANT_STREAM_COMPLETE)) {
    sit(s, HOOK_STREAM_COMPLETE);
    s->kept = !pyfilter_stream_complete(SEATED(s, HOOK_STREAM_COMPLETE));
  }
  if (s->envoy != NULL) {
    if (s->config->statistics != NULL) {
      statistics_complete(s); /* first: what it writes can be part of an entry */
    }
    record_complete(s);
    settle_publish(s);
  }
  leave(s);
}

void stream_above_watermark(pyfilter_stream *s) {
  if (!enter(s)) {
    return;
  }
  if (wanted(s, WANT_ABOVE_WATERMARK)) {
    sit(s, HOOK_ABOVE_WATERMARK);
    pyfilter_above_watermark(SEATED(s, HOOK_ABOVE_WATERMARK));
  }
  leave(s);
}

void stream_below_watermark(pyfilter_stream *s) {
  if (!enter(s)) {
    return;
  }
  if (wanted(s, WANT_BELOW_WATERMARK)) {
    sit(s, HOOK_BELOW_WATERMARK);
    pyfilter_below_watermark(SEATED(s, HOOK_BELOW_WATERMARK));
  }
  leave(s);
}

void stream_scheduled(pyfilter_stream *s, uint64_t event_id) {
  if (!enter(s)) {
    return;
  }
  if (s->kept) {
    pyfilter_scheduled(s->seat->number, event_id);
  }
  leave(s);
}

/* --- what Python asks of its stream (services.h) --- */

void pyfilter_waiting_entered(pyfilter_stream *s, bool response) {
  s->depth++;
  if (s->config->statistics != NULL) {
    statistics_resumed(s, response);
  }
}

void pyfilter_waiting_left(pyfilter_stream *s) { leave(s); }

/* Envoy would send a request on that it has answered, and does not survive a second answer within
 * the first one's hooks. */
void pyfilter_resume_request(pyfilter_stream *s) {
  if (s->answered) {
    return;
  }
  if (s->config->statistics != NULL) {
    statistics_resumed(s, 0);
  }
  request_passes(s, CONTINUE);
  envoy_dynamic_module_callback_http_filter_continue_decoding(s->envoy);
}

bool pyfilter_response_begun(pyfilter_stream *s) { return s->response_begun; }

void pyfilter_resume_response(pyfilter_stream *s) {
  if (s->config->statistics != NULL) {
    statistics_resumed(s, 1);
  }
  s->response_held = false;
  response_begins(s);
  envoy_dynamic_module_callback_http_filter_continue_encoding(s->envoy);
}
