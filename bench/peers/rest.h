/* SPDX-License-Identifier: Apache-2.0
 *
 * rest.h: the hooks in which neither peer does anything; Envoy wants them to exist.
 */
#ifndef BENCH_REST_H
#define BENCH_REST_H

#include "unused_hooks.h"

#define CALL(name) envoy_dynamic_module_callback_http_##name

/* What 1.38 and 1.39 want; 1.40 takes it, too. */
const char *envoy_dynamic_module_on_program_init(void) { return "v0.1.0"; }

STATUS(request_headers)
HOOK(request_headers)(UNUSED void *envoy, UNUSED const void *stream, UNUSED bool end) {
  return (STATUS(request_headers))0;
}

STATUS(request_body)
HOOK(request_body)(UNUSED void *envoy, UNUSED const void *stream, UNUSED bool end) {
  return (STATUS(request_body))0;
}

STATUS(request_trailers)
HOOK(request_trailers)(UNUSED void *envoy, UNUSED const void *stream) {
  return (STATUS(request_trailers))0;
}

STATUS(response_headers)
HOOK(response_headers)(UNUSED void *envoy, UNUSED const void *stream, UNUSED bool end) {
  return (STATUS(response_headers))0;
}

STATUS(response_body)
HOOK(response_body)(UNUSED void *envoy, UNUSED const void *stream, UNUSED bool end) {
  return (STATUS(response_body))0;
}

STATUS(response_trailers)
HOOK(response_trailers)(UNUSED void *envoy, UNUSED const void *stream) {
  return (STATUS(response_trailers))0;
}

void HOOK(config_destroy)(UNUSED const void *config) {}

void HOOK(destroy)(UNUSED const void *stream) {}

void HOOK(scheduled)(UNUSED void *envoy, UNUSED const void *stream, UNUSED uint64_t event) {}

void HOOK(downstream_above_write_buffer_high_watermark)(UNUSED void *envoy,
                                                        UNUSED const void *stream) {}

void HOOK(downstream_below_write_buffer_low_watermark)(UNUSED void *envoy,
                                                       UNUSED const void *stream) {}

#endif
