/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>

#include "crossing.h"
#include "plan.h"

/* Loads a filter config: Python does all of it, C keeps what the streams need. */
pyfilter_config *config_new(void *envoy, envoy_dynamic_module_type_envoy_buffer name,
                            envoy_dynamic_module_type_envoy_buffer config) {
  pyfilter_config *made = calloc(1, sizeof *made);
  if (made == NULL) {
    abort();
  }
  made->envoy = envoy;
  if (!pyfilter_config_new(made, name.ptr, name.length, config.ptr, config.length)) {
    free(made);
    return NULL;
  }
  return made;
}

/* Ends a config. Its streams are gone, so nobody reads it any more. Python goes first: it still may
 * want to write; the plan's sinks are emptied after that, without the GIL. */
void config_destroy(pyfilter_config *config) {
  pyfilter_config_destroy(config->python);
  if (config->plan != NULL) {
    plan_retire(config->plan);
  }
  free(config);
}

/* Loads a route's config; what Envoy keeps is Python's handle itself. */
void *route_config_new(envoy_dynamic_module_type_envoy_buffer name,
                       envoy_dynamic_module_type_envoy_buffer config) {
  return pyfilter_route_config_new(name.ptr, name.length, config.ptr, config.length);
}

void route_config_destroy(void *route_config) { pyfilter_route_config_destroy(route_config); }
