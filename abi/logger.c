/* SPDX-License-Identifier: Apache-2.0 */
#include "logger.h"

#include <stdlib.h>

#include "crossing.h"
#include "host.h"
#include "plan.h"

/* Loads a logger's config: Python does all of it, C keeps the plan. */
pyfilter_config *logger_config_new(void *envoy, envoy_dynamic_module_type_envoy_buffer name,
                                   envoy_dynamic_module_type_envoy_buffer given) {
  pyfilter_config *c = calloc(1, sizeof *c);
  if (c == NULL) {
    abort();
  }
  c->envoy = envoy;
  if (!pyfilter_logger_config_new(c, name.ptr, name.length, given.ptr, given.length)) {
    if (c->plan != NULL) {
      pyfilter_plan_free(c->plan);
    }
    free(c);
    return NULL;
  }
  return c;
}

/* Envoy has destroyed its loggers before, so nobody records with it any more. */
void logger_config_destroy(pyfilter_config *c) {
  plan_retire(c->plan);
  free(c);
}

static host host_of(const pyfilter_config *c, void *envoy) {
  return (host){.call = &host_logger, .envoy = envoy, .metrics = c->envoy};
}

void logger_log(const pyfilter_config *c, void *envoy,
                envoy_dynamic_module_type_access_log_type type) {
  host h = host_of(c, envoy);
  plan_log(c->plan, &h, type);
}

void logger_flush(const pyfilter_config *c) {
  host h = host_of(c, NULL);
  plan_publish(c->plan, &h);
}
