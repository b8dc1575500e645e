/* SPDX-License-Identifier: Apache-2.0
 *
 * hooks.c: what Envoy calls, in the order of a config's and a stream's life. Each hook is one
 * statement: it names its step. What a step does is in stream.c (streams) and config.c (configs).
 */
#include "config.h"
#include "interp.h"
#include "stream.h"
#include "unused_hooks.h"

/* The whole process and its configs: on the main thread (a destroy may come from any). */

const char *envoy_dynamic_module_on_program_init(void) { return interp_start(); }

const void *HOOK(config_new)(void *envoy, TYPE(envoy_buffer) name, TYPE(envoy_buffer) config) {
  return config_new(envoy, name, config);
}

void HOOK(config_destroy)(const void *config) { config_destroy((pyfilter_config *)config); }

const void *HOOK(per_route_config_new)(TYPE(envoy_buffer) name, TYPE(envoy_buffer) config) {
  return route_config_new(name, config);
}

void HOOK(per_route_config_destroy)(const void *config) { route_config_destroy((void *)config); }

/* A stream: on its worker, in this order. */

const void *HOOK(new)(const void *config, void *envoy) {
  return stream_new((pyfilter_config *)config, envoy);
}

STATUS(request_headers) HOOK(request_headers)(void *envoy, const void *stream, bool end) {
  (void)envoy;
  return (STATUS(request_headers))stream_request_headers((pyfilter_stream *)stream, end);
}

STATUS(request_body) HOOK(request_body)(void *envoy, const void *stream, bool end) {
  (void)envoy;
  return (STATUS(request_body))stream_request_body((pyfilter_stream *)stream, end);
}

STATUS(request_trailers) HOOK(request_trailers)(void *envoy, const void *stream) {
  (void)envoy;
  return (STATUS(request_trailers))stream_request_trailers((pyfilter_stream *)stream);
}

STATUS(response_headers) HOOK(response_headers)(void *envoy, const void *stream, bool end) {
  (void)envoy;
  return (STATUS(response_headers))stream_response_headers((pyfilter_stream *)stream, end);
}

STATUS(response_body) HOOK(response_body)(void *envoy, const void *stream, bool end) {
  (void)envoy;
  return (STATUS(response_body))stream_response_body((pyfilter_stream *)stream, end);
}

STATUS(response_trailers) HOOK(response_trailers)(void *envoy, const void *stream) {
  (void)envoy;
  return (STATUS(response_trailers))stream_response_trailers((pyfilter_stream *)stream);
}

STATUS(local_reply)
HOOK(local_reply)(void *envoy, const void *stream, uint32_t code, TYPE(envoy_buffer) details,
                  bool reset_imminent) {
  (void)envoy;
  return (STATUS(local_reply))stream_local_reply((pyfilter_stream *)stream, code, details.ptr,
                                                 details.length, reset_imminent);
}

void HOOK(stream_complete)(void *envoy, const void *stream) {
  (void)envoy;
  stream_complete((pyfilter_stream *)stream);
}

void HOOK(destroy)(const void *stream) { stream_destroy((pyfilter_stream *)stream); }

/* At any time of a stream's life. */

void HOOK(scheduled)(void *envoy, const void *stream, uint64_t event_id) {
  (void)envoy;
  stream_scheduled((pyfilter_stream *)stream, event_id);
}

void HOOK(downstream_above_write_buffer_high_watermark)(void *envoy, const void *stream) {
  (void)envoy;
  stream_above_watermark((pyfilter_stream *)stream);
}

void HOOK(downstream_below_write_buffer_low_watermark)(void *envoy, const void *stream) {
  (void)envoy;
  stream_below_watermark((pyfilter_stream *)stream);
}
