/* SPDX-License-Identifier: Apache-2.0
 *
 * hooks.c: opens the module as Envoy does and calls its hooks, one function for each.
 */
#include "stub.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

struct hooks hooks;
static void *module;

static void *hook_address(const char *name, char *missing, size_t capacity) {
  void *address = dlsym(module, name);
  if (address == NULL) {
    strncat(missing, name, capacity - strlen(missing) - 1);
    strncat(missing, " ", capacity - strlen(missing) - 1);
  }
  return address;
}

void module_open(const char *path) {
  module = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
  if (module == NULL) {
    fail("dlopen", dlerror());
    return;
  }
  char missing[4096] = "";
#define X(name)                                                                                    \
  *(void **)&hooks.name = hook_address("envoy_dynamic_module_on_" #name, missing, sizeof missing);
  HOOKS(X)
#undef X
  if (missing[0] != '\0') {
    fail("missing hooks", missing);
    return;
  }
  const char *version = hooks.program_init();
  json j = event("hook", "program_init");
  json_text(&j, "abi", version == NULL ? "" : version);
  json_send(&j);
}

void module_close(const char *path) {
  int closed = dlclose(module);
  json j = event("hook", "close");
  json_bool(&j, "closed", closed == 0);
  json_bool(&j, "mapped", dlopen(path, RTLD_LAZY | RTLD_NOLOAD) != NULL);
  json_send(&j);
}

/* The hook's answer goes out, and is checked against the values that the ABI knows. */
static int answered(stream *s, const char *hook, int status, int highest) {
  if (status < 0 || status > highest) {
    breach("a status that the ABI does not know", hook);
  }
  if (!s->quiet) {
    json j = event("hook", hook);
    json_text(&j, "stream", s->id);
    json_number(&j, "status", status);
    json_send(&j);
  }
  return status;
}

int hook_headers(stream *s, int map, bool end) {
  bool request = map == REQUEST_HEADERS;
  stream_enter(s);
  int status = request ? (int)hooks.http_filter_request_headers(s, s->module, end)
                       : (int)hooks.http_filter_response_headers(s, s->module, end);
  if (request && s->replied && status == 0) {
    breach("the request goes on after a reply", "request_headers");
  }
  answered(s, request ? "request_headers" : "response_headers", status, 4);
  stream_leave(s);
  return status;
}

/* The received bytes join the buffered ones when the module says so; else they have gone on. */
static void settle_body(stream *s, int received, int status) {
  if (s->body[received].ptr != NULL && status == 1 && !s->same_buffer) {
    bytes *kept = &s->body[received + 1];
    kept->ptr = must(realloc(kept->ptr, kept->length + s->body[received].length + 1));
    memcpy(kept->ptr + kept->length, s->body[received].ptr, s->body[received].length);
    kept->length += s->body[received].length;
  }
  bytes_free(&s->body[received]);
}

int hook_body(stream *s, bool request, bytes data, bool end) {
  int received = request ? TYPE(http_body_type_ReceivedRequestBody)
                         : TYPE(http_body_type_ReceivedResponseBody);
  stream_enter(s);
  s->body[received] = bytes_copy(data.length == 0 ? "" : data.ptr, data.length); /* never NULL */
  int status = request ? (int)hooks.http_filter_request_body(s, s->module, end)
                       : (int)hooks.http_filter_response_body(s, s->module, end);
  settle_body(s, received, status);
  answered(s, request ? "request_body" : "response_body", status, 3);
  stream_leave(s);
  return status;
}

int hook_trailers(stream *s, int map) {
  bool request = map == REQUEST_TRAILERS;
  stream_enter(s);
  int status = request ? (int)hooks.http_filter_request_trailers(s, s->module)
                       : (int)hooks.http_filter_response_trailers(s, s->module);
  answered(s, request ? "request_trailers" : "response_trailers", status, 1);
  stream_leave(s);
  return status;
}

int hook_local_reply(stream *s, uint32_t code, bytes details, bool reset_imminent) {
  stream_enter(s);
  TYPE(envoy_buffer) lent_details = lend_buffer(s, HOOK, details);
  int status = (int)hooks.http_filter_local_reply(s, s->module, code, lent_details, reset_imminent);
  answered(s, "local_reply", status, 1);
  stream_leave(s);
  return status;
}

void hook_complete(stream *s) {
  stream_enter(s);
  hooks.http_filter_stream_complete(s, s->module);
  answered(s, "stream_complete", 0, 0);
  stream_leave(s);
}

void hook_watermark(stream *s, bool above) {
  stream_enter(s);
  if (above) {
    hooks.http_filter_downstream_above_write_buffer_high_watermark(s, s->module);
  } else {
    hooks.http_filter_downstream_below_write_buffer_low_watermark(s, s->module);
  }
  answered(s, above ? "above_watermark" : "below_watermark", 0, 0);
  stream_leave(s);
}

void hook_scheduled(stream *s, uint64_t id) {
  stream_enter(s);
  hooks.http_filter_scheduled(s, s->module, id);
  answered(s, "scheduled", 0, 0);
  stream_leave(s);
}
