/* SPDX-License-Identifier: Apache-2.0 */
#include "settle.h"

#include <string.h>

#include "crossing.h"
#include "statistics.h"

static void count_hook_errors(pyfilter_stream *s, uint64_t count) {
  if (s->config->hook_errors != 0) {
    (void)envoy_dynamic_module_callback_http_filter_increment_counter(
        s->envoy, s->config->hook_errors, NULL, 0, count);
  }
}

/* gRPC clients read grpc-status: for them a bare 500 would arrive as success. */
static bool is_grpc(const pyfilter_stream *s) {
  static const char GRPC[] = "application/grpc";
  envoy_dynamic_module_type_envoy_buffer type = {NULL, 0};
  envoy_dynamic_module_type_module_buffer name = {"content-type", 12};
  return envoy_dynamic_module_callback_http_get_header(
             s->envoy, envoy_dynamic_module_type_http_header_type_RequestHeader, name, &type, 0,
             NULL) &&
         type.length >= sizeof GRPC - 1 && memcmp(type.ptr, GRPC, sizeof GRPC - 1) == 0;
}

/* Answers 500 in Python's place; resets where a response is on its way to the client already. */
static void refuse(pyfilter_stream *s) {
  envoy_dynamic_module_type_module_http_header grpc_status = {"grpc-status", 11, "13", 2};
  envoy_dynamic_module_type_module_buffer no_body = {NULL, 0};
  envoy_dynamic_module_type_module_buffer details = {"pyfilter_seam_failed", 20};
  if (s->response_begun) {
    envoy_dynamic_module_callback_http_filter_reset_stream(
        s->envoy, envoy_dynamic_module_type_http_filter_stream_reset_reason_LocalReset, details);
  } else {
    pyfilter_reply(s, 500, &grpc_status, is_grpc(s) ? 1 : 0, no_body, details);
  }
}

int settle(pyfilter_stream *s, int status, int stop) {
  if (status == CONTINUE) {
    return CONTINUE;
  }
  if (status > 0) {
    return status & ~PAUSED;
  }
  pyfilter_hook_failed(s, "seam", CODE_INTERNAL);
  if (s->config->allow_on_error) {
    return CONTINUE;
  }
  if (s->envoy != NULL) {
    refuse(s);
  }
  return stop;
}

void settle_publish(pyfilter_stream *s) {
  atomic_ullong *pending = config_pending_hook_errors(s->config);
  if (atomic_load_explicit(pending, memory_order_relaxed) != 0) {
    count_hook_errors(s, atomic_exchange(pending, 0));
  }
}

/* A hook of the stream is on the stack, so the stream is there; its host may be gone. Where the seam
 * fails in one hook after another, the stream has failed once. */
void pyfilter_hook_failed(pyfilter_stream *s, const char *hook, int code) {
  bool first = s->record.failed_hook == NULL;
  s->record.failed_hook = hook;
  if (first && s->config->statistics != NULL) {
    statistics_hook_failed(s, code);
  }
  if (s->envoy != NULL) {
    count_hook_errors(s, 1);
  } else {
    atomic_fetch_add(config_pending_hook_errors(s->config), 1);
  }
}
