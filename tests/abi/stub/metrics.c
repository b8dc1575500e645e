/* SPDX-License-Identifier: Apache-2.0
 *
 * metrics.c: stats. They are defined only while a config loads; the same name is the same stat,
 * whichever config defined it; ids are 1-based and belong to the config.
 */
#include "stub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct value {
  struct value *next;
  char *labels; /* "a=1,b=2" */
  _Atomic uint64_t number;
} value;

typedef struct metric {
  struct metric *next;
  char kind; /* c, g, h */
  char *name;
  size_t label_count;
  char *label_names[8];
  value plain;
  value *labelled;
} metric;

static metric *metrics;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Each kind has two spaces of ids: without labels, and with. */
static int space(char kind, size_t labels) {
  return (kind == 'c' ? 0 : kind == 'g' ? 2 : 4) + (labels > 0);
}

static metric *metric_find(char kind, bytes name) {
  metric *m = metrics;
  while (m != NULL && (m->kind != kind || !bytes_equal(name, m->name, strlen(m->name)))) {
    m = m->next;
  }
  return m;
}

static metric *metric_make(char kind, bytes name, TYPE(module_buffer) * labels, size_t count) {
  metric *m = must(calloc(1, sizeof *m));
  m->kind = kind;
  m->name = must(strndup(name.ptr, name.length));
  m->label_count = count;
  for (size_t i = 0; i < count && i < 8; i++) {
    m->label_names[i] = must(strndup(labels[i].ptr, labels[i].length));
  }
  m->next = metrics;
  metrics = m;
  return m;
}

static TYPE(metrics_result) define(void *envoy, char kind, TYPE(module_buffer) name,
                                   TYPE(module_buffer) * labels, size_t count, size_t *id) {
  config *c = envoy;
  if (!config_alive(c)) {
    breach("a metric for a dead config", "define");
    return TYPE(metrics_result_Frozen);
  }
  if (c->frozen || told_to_fail("define_metric")) {
    return TYPE(metrics_result_Frozen);
  }
  pthread_mutex_lock(&lock);
  metric *m = metric_find(kind, bytes_of(name));
  if (m == NULL) {
    m = metric_make(kind, bytes_of(name), labels, count);
  }
  int where = space(kind, count);
  c->metric[where][c->metrics[where]++] = m;
  *id = c->metrics[where]; /* 1-based */
  pthread_mutex_unlock(&lock);
  return TYPE(metrics_result_Success);
}

#define DEFINE(name, kind)                                                                         \
  HOST_CALLBACK TYPE(metrics_result) CALLBACK(http_filter_config_define_##name)(                   \
      void *envoy, TYPE(module_buffer) stat, TYPE(module_buffer) * labels, size_t count,           \
      size_t *id) {                                                                                \
    return define(envoy, kind, stat, labels, count, id);                                           \
  }

DEFINE(counter, 'c')
DEFINE(gauge, 'g')
DEFINE(histogram, 'h')

/* The value of these labels, made when they are new. */
static value *value_of(metric *m, TYPE(module_buffer) * labels) {
  char text[4096] = "";
  size_t length = 0;
  for (size_t i = 0; i < m->label_count; i++) {
    length += (size_t)snprintf(text + length, sizeof text - length, "%s%s=%.*s", i > 0 ? "," : "",
                               m->label_names[i], (int)labels[i].length, labels[i].ptr);
  }
  pthread_mutex_lock(&lock);
  value *v = m->labelled;
  while (v != NULL && strcmp(v->labels, text) != 0) {
    v = v->next;
  }
  if (v == NULL) {
    v = must(calloc(1, sizeof *v));
    v->labels = must(strdup(text));
    v->next = m->labelled;
    m->labelled = v;
  }
  pthread_mutex_unlock(&lock);
  return v;
}

enum { ADD, SUBTRACT, SET };

static TYPE(metrics_result) change(config *c, char kind, size_t id, TYPE(module_buffer) * labels,
                                   size_t count, uint64_t number, int how) {
  int where = space(kind, count);
  if (id == 0 || id > c->metrics[where]) {
    return TYPE(metrics_result_MetricNotFound);
  }
  metric *m = c->metric[where][id - 1];
  if (m->label_count != count) {
    return TYPE(metrics_result_InvalidLabels);
  }
  value *v = count == 0 ? &m->plain : value_of(m, labels);
  if (how == SET) {
    atomic_store_explicit(&v->number, number, memory_order_relaxed);
  } else {
    atomic_fetch_add_explicit(&v->number, how == ADD ? number : -number, memory_order_relaxed);
  }
  return TYPE(metrics_result_Success);
}

#define CHANGE(name, kind, how)                                                                    \
  HOST_CALLBACK TYPE(metrics_result) CALLBACK(http_filter_##name)(                                 \
      void *envoy, size_t id, TYPE(module_buffer) * labels, size_t count, uint64_t number) {       \
    return may_call(envoy, "http_filter_" #name)                                                   \
               ? change(((stream *)envoy)->config, kind, id, labels, count, number, how)           \
               : TYPE(metrics_result_MetricNotFound);                                              \
  }

CHANGE(increment_counter, 'c', ADD)
CHANGE(increment_gauge, 'g', ADD)
CHANGE(decrement_gauge, 'g', SUBTRACT)
CHANGE(set_gauge, 'g', SET)
CHANGE(record_histogram_value, 'h', ADD)

/* An access logger's have no labels, and are changed with its config. */
#define DEFINE_OF_LOGGER(name, kind)                                                               \
  HOST_CALLBACK TYPE(metrics_result) CALLBACK(access_logger_config_define_##name)(                 \
      void *envoy, TYPE(module_buffer) stat, size_t *id) {                                         \
    return define(envoy, kind, stat, NULL, 0, id);                                                 \
  }
#define CHANGE_OF_LOGGER(name, kind, how)                                                          \
  HOST_CALLBACK TYPE(metrics_result) CALLBACK(access_logger_##name)(void *envoy, size_t id,        \
                                                                    uint64_t number) {             \
    if (!config_alive(envoy)) {                                                                    \
      breach("a metric for a dead config", "access_logger_" #name);                                \
      return TYPE(metrics_result_MetricNotFound);                                                  \
    }                                                                                              \
    return change(envoy, kind, id, NULL, 0, number, how);                                          \
  }

DEFINE_OF_LOGGER(counter, 'c')
DEFINE_OF_LOGGER(gauge, 'g')
DEFINE_OF_LOGGER(histogram, 'h')
CHANGE_OF_LOGGER(increment_counter, 'c', ADD)
CHANGE_OF_LOGGER(set_gauge, 'g', SET)
CHANGE_OF_LOGGER(record_histogram_value, 'h', ADD)

/* Since 1.39 (newer.c): without a stream. */
TYPE(metrics_result)
config_increment(void *envoy, size_t id, TYPE(module_buffer) * labels, size_t count,
                 uint64_t number) {
  if (!config_alive(envoy)) {
    breach("a metric for a dead config", "config_increment_counter");
    return TYPE(metrics_result_MetricNotFound);
  }
  return change(envoy, 'c', id, labels, count, number, ADD);
}

static void print(const metric *m, const value *v, const char *labels) {
  json j = event("stat", m->name);
  json_text(&j, "labels", labels);
  json_number(&j, "value", (double)atomic_load(&v->number));
  json_send(&j);
}

void metrics_print(void) {
  pthread_mutex_lock(&lock);
  for (metric *m = metrics; m != NULL; m = m->next) {
    if (m->label_count == 0) {
      print(m, &m->plain, "");
    }
    for (value *v = m->labelled; v != NULL; v = v->next) {
      print(m, v, v->labels);
    }
  }
  pthread_mutex_unlock(&lock);
}
