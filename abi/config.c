/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>

#include "crossing.h"
#include "plan.h"
#include "reads.h"
#include "statistics.h"

/* A config as this file knows it. Python, Envoy and the streams know its first member alone. */
typedef struct {
  pyfilter_config loaded;
  atomic_uint references; /* Envoy's, and one for each stream that outlives its host */
  atomic_ullong pending_hook_errors;
} whole_config;

static whole_config *whole(pyfilter_config *c) { return (whole_config *)c; }

static void free_whole(whole_config *made) {
  if (made->loaded.statistics != NULL) {
    statistics_free(made->loaded.statistics);
  }
  reads_free(made->loaded.reads);
  free(made);
}

/* Loads a filter config: Python does all of it, C keeps what the streams need. */
pyfilter_config *config_new(void *envoy, envoy_dynamic_module_type_envoy_buffer name,
                            envoy_dynamic_module_type_envoy_buffer json) {
  whole_config *made = calloc(1, sizeof *made);
  if (made == NULL) {
    abort();
  }
  made->loaded.envoy = envoy;
  made->loaded.reads = reads_new();
  atomic_init(&made->references, 1);
  if (!pyfilter_config_new(&made->loaded, name.ptr, name.length, json.ptr, json.length)) {
    if (made->loaded.plan != NULL) {
      pyfilter_plan_free(made->loaded.plan);
    }
    free_whole(made);
    return NULL;
  }
  if (made->loaded.plan != NULL) {
    made->loaded.records = plan_records(made->loaded.plan);
  }
  if (made->loaded.statistics != NULL) {
    made->loaded.wants |= WANT_STATISTICS;
    made->loaded.records |= RECORDS_STATISTICS;
  }
  return &made->loaded;
}

/* Ends a config. Its streams are gone, so nobody records with it any more. Python goes first: it
 * still may want to write; the plan's sinks are emptied after that, without the GIL. */
void config_destroy(pyfilter_config *c) {
  pyfilter_config_destroy(c->number);
  if (c->plan != NULL) {
    plan_retire(c->plan);
  }
  config_release(c);
}

void config_hold(pyfilter_config *c) { atomic_fetch_add(&whole(c)->references, 1); }

void config_release(pyfilter_config *c) {
  if (atomic_fetch_sub(&whole(c)->references, 1) == 1) {
    free_whole(whole(c));
  }
}

atomic_ullong *config_pending_hook_errors(pyfilter_config *c) {
  return &whole(c)->pending_hook_errors;
}

/* Loads a route's config; what Envoy keeps is Python's handle itself. */
void *route_config_new(envoy_dynamic_module_type_envoy_buffer name,
                       envoy_dynamic_module_type_envoy_buffer json) {
  return pyfilter_route_config_new(name.ptr, name.length, json.ptr, json.length);
}

void route_config_destroy(void *route_config) { pyfilter_route_config_destroy(route_config); }
