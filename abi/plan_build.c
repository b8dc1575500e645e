/* SPDX-License-Identifier: Apache-2.0
 *
 * plan_build.c: makes a plan while a config loads, and ends it. In between nobody changes it.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "entry.h"
#include "sink.h"

/* Plans that are in use; the last one that retires empties the sinks. */
static _Atomic int plans;

/* Room for one more in an array that grows one at a time; only while a config loads. */
static void *one_more(void *array, size_t count, size_t size) {
  void *grown = realloc(array, (count + 1) * size);
  if (grown == NULL) {
    abort();
  }
  return grown;
}

plan *pyfilter_plan_new(const char *instance, size_t length, uint32_t flags) {
  plan *p = calloc(1, sizeof *p);
  if (p == NULL) {
    abort();
  }
  p->instance = slice_copy(instance, length);
  p->flags = flags;
  atomic_fetch_add(&plans, 1);
  return p;
}

/* 1.38 tells the details of a response only when a local reply is made, and only to the hook. */
static void keep_details(plan *p, field_id field) {
  if (field == field_response_code_details && pyfilter_host_release() < 39) {
    p->details_from_hook = true;
  }
}

bool pyfilter_plan_field(plan *p, const char *name) {
  field_id field = field_find((slice){name, strlen(name)});
  if (field == FIELD_COUNT || field == field_duration_ms) { /* that one is for state only */
    return false;
  }
  bool trailers = field == field_request_trailers || field == field_response_trailers;
  if (!field_is_served(field) || (trailers && !(p->flags & PLAN_TRAILERS))) {
    return true;
  }
  keep_details(p, field);
  for (int when = FIELDS[field].when; when <= FROM_RESPONSE; when++) {
    p->fields[when] |= UINT64_C(1) << field;
    p->maps[when] = entry_maps(p->fields[when]);
  }
  return true;
}

void pyfilter_plan_pattern(plan *p, int side, int rule, const char *pattern) {
  rules_add(&p->rules[side], rule, pattern);
}

void pyfilter_plan_state(plan *p, const char *key, size_t length) {
  p->states = one_more(p->states, p->state_count, sizeof *p->states);
  p->states[p->state_count++] = (state_key){.key = slice_copy(key, length)};
}

bool pyfilter_plan_state_part(plan *p, int op, int map, const char *what, size_t length,
                              size_t max_length) {
  state_part part = {.op = op, .map = map, .max_length = max_length};
  if (op == PART_FIELD) {
    part.field = field_find((slice){what, length});
    if (part.field == FIELD_COUNT || FIELDS[part.field].type >= FIELD_HEADERS) {
      return false;
    }
    keep_details(p, part.field);
    if (field_is_served(part.field)) {
      p->state_fields |= UINT64_C(1) << part.field;
      p->state_maps |= entry_maps(UINT64_C(1) << part.field);
    }
  } else if (op == PART_HEADER) {
    p->state_maps |= 1u << map;
  }
  part.text = slice_copy(what, length);
  state_key *key = &p->states[p->state_count - 1];
  key->parts = one_more(key->parts, key->count, sizeof *key->parts);
  key->parts[key->count++] = part;
  return true;
}

void pyfilter_plan_sink(plan *p, sink *s) {
  p->sinks = one_more(p->sinks, p->sink_count, sizeof *p->sinks);
  p->sinks[p->sink_count++] = s;
}

void pyfilter_plan_counter(plan *p, int which, size_t id) { p->counters[which] = id; }

static void free_states(plan *p) {
  for (size_t i = 0; i < p->state_count; i++) {
    for (size_t j = 0; j < p->states[i].count; j++) {
      free((char *)p->states[i].parts[j].text.data);
    }
    free(p->states[i].parts);
    free((char *)p->states[i].key.data);
  }
  free(p->states);
}

/* Lets go of the sinks and frees the rest; true when no plan is left. */
static bool plan_end(plan *p) {
  for (size_t i = 0; i < p->sink_count; i++) {
    sink_release(p->sinks[i]);
  }
  free(p->sinks);
  free_states(p);
  rules_free(&p->rules[PLAN_REQUEST]);
  rules_free(&p->rules[PLAN_RESPONSE]);
  free((char *)p->instance.data);
  free(p);
  return atomic_fetch_sub(&plans, 1) == 1;
}

void pyfilter_plan_free(plan *p) { plan_end(p); }

void plan_retire(plan *p) {
  if (plan_end(p)) {
    sinks_wait_for_end();
  }
}
