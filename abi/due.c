/* SPDX-License-Identifier: Apache-2.0 */
#include "due.h"

#include "entry.h"

#define HEADERS(map) envoy_dynamic_module_type_http_header_type_##map

static bool has_headers(const host *h, envoy_dynamic_module_type_http_header_type map) {
  return h->call->headers_size(h->envoy, map) > 0;
}

/* Whether Envoy ended a stream that has no answer by making another one of it. 1.38 does not tell
 * the details. There a redirect shows in the header that Envoy adds to the request for the next
 * stream; a status and response headers say nothing: a response that was held back has them, too. */
static bool was_recreated(const host *h) {
  envoy_dynamic_module_type_envoy_buffer details = {NULL, 0};
  slice url;
  if (pyfilter_host_release() < 39) {
    return has_headers(h, HEADERS(ResponseHeader)) &&
           h->call->header(h->envoy, HEADERS(RequestHeader), SLICE("x-envoy-original-url"), &url);
  }
  return h->call->attribute_text(
             h->envoy, envoy_dynamic_module_type_attribute_id_ResponseCodeDetails, &details) &&
         slice_is((slice){details.ptr, details.length}, SLICE("internal_redirect"));
}

ending due_ending(const record *r, const host *h) {
  if (r->response_seen && has_headers(h, HEADERS(ResponseHeader))) {
    return ENDED_ANSWERED;
  }
  return !r->response_seen && was_recreated(h) ? ENDED_REDIRECTED : ENDED_ABORTED;
}

bool due_late_request(const record *r, const plan *p, const host *h) {
  return !r->request_written && (p->flags & PLAN_LOG_REQUEST) &&
         has_headers(h, HEADERS(RequestHeader));
}

/* A tunnel begins with a 101, or with any success where the request was a CONNECT. */
static bool begins_tunnel(const host *h) {
  slice status;
  slice method;
  if (!h->call->header(h->envoy, HEADERS(ResponseHeader), SLICE(":status"), &status)) {
    return false;
  }
  return slice_is(status, SLICE("101")) ||
         (status.length == 3 && status.data[0] == '2' &&
          h->call->header(h->envoy, HEADERS(RequestHeader), SLICE(":method"), &method) &&
          slice_is(method, SLICE("CONNECT")));
}

bool due_at_response(const record *r, const plan *p, const host *h) {
  return (p->flags & PLAN_TUNNEL_AT_HANDSHAKE) && !r->response_written && begins_tunnel(h);
}

bool due_at_end_of_stream(const record *r, const plan *p, const host *h) {
  return (p->flags & PLAN_AT_END_OF_STREAM) && !r->response_written &&
         has_headers(h, HEADERS(ResponseHeader));
}

bool due_at_complete(const record *r, const plan *p, ending how) {
  static const uint32_t NEEDED[] = {
      [ENDED_ANSWERED] = 0,
      [ENDED_REDIRECTED] = PLAN_REDIRECTED,
      [ENDED_ABORTED] = PLAN_ABORTED,
  };
  return !r->response_written && (p->flags & NEEDED[how]) == NEEDED[how];
}
