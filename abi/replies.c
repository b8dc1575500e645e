/* SPDX-License-Identifier: Apache-2.0
 *
 * replies.c: a filter answers in the upstream's place, or resets the stream. Hooks, and the end of
 * the stream, can come within each of these calls, so all is noted before them.
 */
#include "stream.h"

static size_t bytes_of(const envoy_dynamic_module_type_module_http_header *headers, size_t count) {
  size_t bytes = 0;
  for (size_t i = 0; i < count; i++) {
    bytes += headers[i].key_length + headers[i].value_length;
  }
  return bytes;
}

void pyfilter_reply(pyfilter_stream *s, uint32_t status,
                    envoy_dynamic_module_type_module_http_header *headers, size_t headers_length,
                    envoy_dynamic_module_type_module_buffer body,
                    envoy_dynamic_module_type_module_buffer details) {
  record_request(s, RECORD_DENIED);
  s->record.response_seen = true;
  if (s->config->statistics != NULL) {
    statistics_reply(s, true, bytes_of(headers, headers_length) + body.length);
  }
  envoy_dynamic_module_callback_http_send_response(s->envoy, status, headers, headers_length, body,
                                                   details);
}

void pyfilter_reply_headers(pyfilter_stream *s,
                            envoy_dynamic_module_type_module_http_header *headers,
                            size_t headers_length, bool end_of_stream) {
  record_request(s, RECORD_DENIED);
  s->record.response_seen = true;
  if (s->config->statistics != NULL) {
    statistics_reply(s, end_of_stream, bytes_of(headers, headers_length));
  }
  envoy_dynamic_module_callback_http_send_response_headers(s->envoy, headers, headers_length,
                                                           end_of_stream);
}

void pyfilter_reply_data(pyfilter_stream *s, envoy_dynamic_module_type_module_buffer data,
                         bool end_of_stream) {
  if (s->config->statistics != NULL) {
    statistics_reply_goes_on(s, end_of_stream, data.length);
  }
  envoy_dynamic_module_callback_http_send_response_data(s->envoy, data, end_of_stream);
}

void pyfilter_reply_trailers(pyfilter_stream *s,
                             envoy_dynamic_module_type_module_http_header *trailers, size_t count) {
  if (s->config->statistics != NULL) {
    statistics_reply_goes_on(s, true, bytes_of(trailers, count));
  }
  envoy_dynamic_module_callback_http_send_response_trailers(s->envoy, trailers, count);
}

void pyfilter_reset(pyfilter_stream *s,
                    envoy_dynamic_module_type_http_filter_stream_reset_reason reason,
                    envoy_dynamic_module_type_module_buffer details) {
  if (s->config->statistics != NULL) {
    statistics_reset(s);
  }
  envoy_dynamic_module_callback_http_filter_reset_stream(s->envoy, reason, details);
}
