/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>

#include "crossing.h"
#include "plan.h"

/* Loads a filter config: Python does all of it, C keeps what the streams need. */
filter_config *config_new(void *envoy, envoy_dynamic_module_type_envoy_buffer name,
                          envoy_dynamic_module_type_envoy_buffer text) {
  filter_config *made = calloc(1, sizeof *made);
  if (made == NULL) {
    abort();
  }
  made->loaded.envoy = envoy;
  atomic_init(&made->references, 1);
  if (!pyfilter_config_new(&made->loaded, name.ptr, name.length, text.ptr, text.length)) {
    if (made->loaded.plan != NULL) {
      pyfilter_plan_free(made->loaded.plan);
    }
    free(made);
    return NULL;
  }
  return made;
}

/* Ends a config. Its streams are gone, so nobody records with it any more. Python goes first: it
 * still may want to write; the plan's sinks are emptied after that, without the GIL. */
void config_destroy(filter_config *c) {
  pyfilter_config_destroy(c->loaded.python);
  if (c->loaded.plan != NULL) {
    plan_retire(c->loaded.plan);
  }
  config_release(c);
}

void config_hold(filter_config *c) { atomic_fetch_add(&c->references, 1); }

void config_release(filter_config *c) {
  if (atomic_fetch_sub(&c->references, 1) == 1) {
    free(c);
  }
}

/* Loads a route's config; what Envoy keeps is Python's handle itself. */
void *route_config_new(envoy_dynamic_module_type_envoy_buffer name,
                       envoy_dynamic_module_type_envoy_buffer text) {
  return pyfilter_route_config_new(name.ptr, name.length, text.ptr, text.length);
}

void route_config_destroy(void *route_config) { pyfilter_route_config_destroy(route_config); }
