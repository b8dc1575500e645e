/* SPDX-License-Identifier: Apache-2.0
 *
 * newer.c: the callbacks that not every release has. STUB_RELEASE says which host this is: 137,
 * 138, 139 or 140.
 */
#include "stub.h"

#include <stdlib.h>

#ifndef STUB_RELEASE
#error "STUB_RELEASE is 137, 138, 139 or 140"
#endif

#if STUB_RELEASE >= 138

HOST_CALLBACK bool CALLBACK(is_validation_mode)(void) { return settings.validation; }

HOST_CALLBACK uint32_t CALLBACK(get_concurrency)(void) { return settings.concurrency; }

#endif

#if STUB_RELEASE >= 139

HOST_CALLBACK TYPE(log_level) CALLBACK(get_log_level)(void) {
  return (TYPE(log_level))settings.log_level;
}

HOST_CALLBACK bool CALLBACK(http_get_header_values)(void *envoy, TYPE(http_header_type) map,
                                                    TYPE(module_buffer) key,
                                                    TYPE(envoy_buffer) * result) {
  stream *s = envoy;
  if (!may_call(envoy, "http_get_header_values") || !s->maps[map].present) {
    return false;
  }
  size_t found = 0;
  for (size_t i = 0; i < s->maps[map].count; i++) {
    if (bytes_equal(s->maps[map].pairs[i].name, key.ptr, key.length)) {
      result[found++] = lend_buffer(s, map, s->maps[map].pairs[i].value);
    }
  }
  return found > 0;
}

HOST_CALLBACK TYPE(metrics_result)
    CALLBACK(http_filter_config_increment_counter)(void *envoy, size_t id,
                                                   TYPE(module_buffer) * labels, size_t count,
                                                   uint64_t number) {
  return config_increment(envoy, id, labels, count, number);
}

HOST_CALLBACK bool CALLBACK(access_logger_get_dynamic_metadata_number)(void *envoy,
                                                                       TYPE(module_buffer) ns,
                                                                       TYPE(module_buffer) key,
                                                                       double *result) {
  return CALLBACK(http_get_metadata_number)(envoy, TYPE(metadata_source_Dynamic), ns, key, result);
}

HOST_CALLBACK bool CALLBACK(access_logger_get_dynamic_metadata_bool)(void *envoy,
                                                                     TYPE(module_buffer) ns,
                                                                     TYPE(module_buffer) key,
                                                                     bool *result) {
  return CALLBACK(http_get_metadata_bool)(envoy, TYPE(metadata_source_Dynamic), ns, key, result);
}

#endif

#if STUB_RELEASE >= 140

/* Its signature is not known: it only tells what host this is. */
HOST_CALLBACK void CALLBACK(log_v2)(void) {
  breach("a callback whose signature is not known", "log_v2");
  abort();
}

#endif
