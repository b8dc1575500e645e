/* SPDX-License-Identifier: Apache-2.0
 *
 * cilium_values.c: the six fields of cilium.LogEntry that a stream does not tell by itself. Those
 * that never change are encoded while the config loads.
 */
#include <stdlib.h>

#include "encode_cilium.h"
#include "format.h"
#include "protobuf.h"
#include "worker.h"

typedef enum { VALUE_TEXT, VALUE_NUMBER, VALUE_TRUTH } value_type;

static const struct {
  const char *name;
  unsigned field;
  value_type type;
  uint64_t largest;
} VALUES[CILIUM_VALUES] = {
    [CILIUM_POLICY_NAME] = {"policy_name", LOG_POLICY_NAME, VALUE_TEXT, 0},
    [CILIUM_RULE_REF] = {"cilium_rule_ref", LOG_RULE_REF, VALUE_TEXT, 0},
    [CILIUM_SOURCE_ID] = {"source_security_id", LOG_SOURCE_ID, VALUE_NUMBER, UINT32_MAX},
    [CILIUM_IS_INGRESS] = {"is_ingress", LOG_IS_INGRESS, VALUE_TRUTH, 0},
    [CILIUM_DESTINATION_ID] = {"destination_security_id", LOG_DESTINATION_ID, VALUE_NUMBER,
                               UINT32_MAX},
    [CILIUM_PROXY_ID] = {"proxy_id", LOG_PROXY_ID, VALUE_NUMBER, UINT16_MAX},
};

cilium *cilium_new(size_t max_packet) {
  cilium *c = calloc(1, sizeof *c);
  if (c == NULL) {
    abort();
  }
  c->max_packet = max_packet;
  return c;
}

void cilium_free(cilium *c) {
  for (int which = 0; which < CILIUM_VALUES; which++) {
    format_free(&c->values[which].from);
    free(c->values[which].constant.data);
  }
  free(c);
}

static void put_text(unsigned field, slice value, text *out) {
  text *repaired = &worker_self()->repaired;
  repaired->length = 0;
  text_utf8(repaired, value);
  slice sound = {repaired->data, repaired->length};
  sound.length = utf8_cut(sound, CILIUM_TEXT_MAX);
  proto_text(out, field, sound);
}

/* False: no number, or one that is too large. No digits are 0. */
static bool read_number(slice digits, uint64_t largest, uint64_t *number) {
  *number = 0;
  for (size_t i = 0; i < digits.length; i++) {
    if (digits.data[i] < '0' || digits.data[i] > '9') {
      return false;
    }
    *number = *number * 10 + (uint64_t)(digits.data[i] - '0');
    if (*number > largest) {
      return false;
    }
  }
  return true;
}

/* Appends a value from its text; false: the text is none. No text (what a format names is not there)
 * is the field's zero, which has no bytes. */
static bool put(int which, slice value, text *out) {
  uint64_t number = 0;
  bool good = true;
  switch (VALUES[which].type) {
  case VALUE_TEXT:
    put_text(VALUES[which].field, value, out);
    return true;
  case VALUE_NUMBER:
    good = read_number(value, VALUES[which].largest, &number);
    break;
  case VALUE_TRUTH:
    number = slice_is(value, SLICE("true"));
    good = number || value.length == 0 || slice_is(value, SLICE("false"));
    break;
  }
  if (good) {
    proto_number(out, VALUES[which].field, number);
  }
  return good;
}

/* A format's text, in the worker's memory. */
static slice text_of(const format *f, const entry *e, const host *h) {
  text *value = &worker_self()->value;
  value->length = 0;
  format_put(f, e, h, (slice){NULL, 0}, value);
  return (slice){value->data, value->length};
}

void cilium_compile(cilium *c, int which) {
  cilium_value *v = &c->values[which];
  v->varies = !format_is_constant(&v->from);
  if (!v->varies && v->from.count > 0) {
    put(which, text_of(&v->from, NULL, NULL), &v->constant);
  }
}

static void log_bad(const plan *p, cilium_value *v, int which, slice value) {
  if (!atomic_load_explicit(&v->bad, memory_order_relaxed) &&
      !atomic_exchange_explicit(&v->bad, true, memory_order_relaxed)) {
    size_t shown = value.length < 60 ? value.length : 60;
    host_log(envoy_dynamic_module_type_log_level_Warn,
             "envoy_pyfilter: %.*s: %s of a cilium sink was \"%.*s\", which is none; %s stands in "
             "its place (said once, counted in cilium_bad_values)",
             (int)p->instance.length, p->instance.data, VALUES[which].name, (int)shown, value.data,
             VALUES[which].type == VALUE_TRUTH ? "false" : "0");
  }
}

unsigned cilium_put_value(cilium *c, int which, const entry *e, const plan *p, const host *h,
                          text *out) {
  cilium_value *v = &c->values[which];
  if (!v->varies) {
    text_put(out, (slice){v->constant.data, v->constant.length});
    return 0;
  }
  slice value = text_of(&v->from, e, h);
  if (put(which, value, out)) {
    return 0;
  }
  log_bad(p, v, which, value);
  return 1;
}
