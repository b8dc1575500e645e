/* SPDX-License-Identifier: Apache-2.0
 *
 * measure.c: see measure.h. What a label may be is bounded twice: by its own values, and by the
 * combinations of all labels of the metric, each of which is a stat that Envoy never frees. Whoever
 * comes first takes the places; the rest is OTHER.
 */
#include "measure.h"

#include <stdlib.h>

#include "decimal.h"
#include "format.h"
#include "label.h"
#include "seen.h"
#include "worker.h"

static const slice OTHER = {"other", 5};
static const slice MISSING_LABEL = {"-", 1};

typedef struct metric {
  int kind; /* METRIC_* */
  size_t id; /* Envoy's */
  slice name;
  size_t most_values, most_series;
  size_t label_count;
  slice labels[METRIC_LABELS];
  seen values[METRIC_LABELS]; /* by label */
  seen series;                /* combinations of them, by where they lie */
  told full, unfit;
} metric;

typedef struct measure {
  size_t metric;
  format value; /* without parts: 1 */
  size_t label_count;
  format labels[METRIC_LABELS];
  const seen_text *constant[METRIC_LABELS]; /* of a label that the config itself gives its value */
} measure;

typedef struct measures {
  metric *metrics;
  size_t metric_count;
  measure *all;
  size_t count;
} measures;

/* --- while a config loads --- */

void pyfilter_plan_metric(plan *p, int kind, size_t id, const char *name, size_t length,
                          size_t most_values, size_t most_series) {
  if (p->measures == NULL) {
    p->measures = must_allocate(sizeof *p->measures);
    *p->measures = (measures){.count = 0};
  }
  measures *m = p->measures;
  m->metrics = one_more(m->metrics, m->metric_count, sizeof *m->metrics);
  m->metrics[m->metric_count++] = (metric){.kind = kind,
                                           .id = id,
                                           .name = slice_copy(name, length),
                                           .most_values = most_values,
                                           .most_series = most_series};
}

bool pyfilter_plan_metric_label(plan *p, const char *name, size_t length) {
  metric *last = &p->measures->metrics[p->measures->metric_count - 1];
  if (last->label_count == METRIC_LABELS) {
    return false;
  }
  last->labels[last->label_count++] = slice_copy(name, length);
  return true;
}

void pyfilter_plan_measure(plan *p) {
  measures *m = p->measures;
  m->all = one_more(m->all, m->count, sizeof *m->all);
  m->all[m->count++] = (measure){.metric = m->metric_count - 1};
  p->open = &m->all[m->count - 1].value;
  p->open_cilium = NULL;
}

void pyfilter_plan_measure_label(plan *p) {
  measure *last = &p->measures->all[p->measures->count - 1];
  p->open = &last->labels[last->label_count++];
}

/* The text of a format without commands, in the worker's scratch memory. */
static slice constant_text(const format *f) {
  text *out = &worker_self()->value;
  out->length = 0;
  format_put(f, NULL, NULL, MISSING_LABEL, out);
  return (slice){out->data, out->length};
}

/* What a label has by the config takes no place from what streams tell. */
static const seen_text *keep_value(metric *of, size_t label, slice value) {
  seen *values = &of->values[label];
  values->most = atomic_load(&values->count) + 1;
  return seen_get(values, value);
}

/* Makes the sets of a metric, with room for what the config itself says. */
static void compile_metric(measures *m, size_t which) {
  metric *of = &m->metrics[which];
  for (size_t label = 0; label < of->label_count; label++) {
    seen_init(&of->values[label], of->most_values + m->count + 2);
    keep_value(of, label, OTHER);
    keep_value(of, label, MISSING_LABEL);
    for (size_t i = 0; i < m->count; i++) {
      measure *one = &m->all[i];
      if (one->metric == which && format_is_constant(&one->labels[label])) {
        one->constant[label] = keep_value(of, label, constant_text(&one->labels[label]));
      }
    }
    of->values[label].most = atomic_load(&of->values[label].count) + of->most_values;
  }
  seen_init(&of->series, of->most_series);
}

void measures_compile(measures *m, plan *p) {
  for (size_t i = 0; i < m->count; i++) {
    measure *one = &m->all[i];
    format_keep(&one->value, p);
    for (size_t label = 0; label < one->label_count; label++) {
      format_keep(&one->labels[label], p);
    }
  }
  for (size_t which = 0; which < m->metric_count; which++) {
    compile_metric(m, which);
  }
}

void measures_free(measures *m) {
  for (size_t i = 0; i < m->count; i++) {
    format_free(&m->all[i].value);
    for (size_t label = 0; label < m->all[i].label_count; label++) {
      format_free(&m->all[i].labels[label]);
    }
  }
  for (size_t which = 0; which < m->metric_count; which++) {
    metric *of = &m->metrics[which];
    for (size_t label = 0; label < of->label_count; label++) {
      free((char *)of->labels[label].data);
      seen_free(&of->values[label]);
    }
    seen_free(&of->series);
    free((char *)of->name.data);
  }
  free(m->all);
  free(m->metrics);
  free(m);
}

/* --- for each stream --- */

/* Logs, once for each metric of a plan. */
static void tell(told *said, const plan *p, const metric *of, const char *what) {
  if (!atomic_load_explicit(said, memory_order_relaxed) &&
      !atomic_exchange_explicit(said, true, memory_order_relaxed)) {
    host_log(envoy_dynamic_module_type_log_level_Warn, "envoy_pyfilter: %.*s: metric %.*s: %s",
             (int)p->instance.length, p->instance.data, (int)of->name.length, of->name.data, what);
  }
}

/* The number to count; false: there is none. */
static bool value_of(const measure *one, metric *of, const plan *p, const entry *e, const host *h,
                     uint64_t *number) {
  text *out = &worker_self()->value;
  *number = 1;
  if (one->value.count == 0) {
    return true;
  }
  out->length = 0;
  format_put(&one->value, e, h, SLICE(""), out);
  if (out->length == 0) {
    return false;
  }
  if (!decimal_whole((slice){out->data, out->length}, number)) {
    tell(&of->unfit, p, of,
         "a value was no number from 0 to 2^53, and is not counted (said once, counted in "
         "metrics_skipped)");
    return false;
  }
  return true;
}

/* A label's value as the metric's set has it; NULL: there is no place for it. What is in the set was
 * made fit for it, so a text that is found there needs nothing more. */
static const seen_text *label_of(const measure *one, metric *of, size_t label, const entry *e,
                                 const host *h) {
  if (one->constant[label] != NULL) {
    return one->constant[label];
  }
  worker *w = worker_self();
  w->value.length = w->label.length = 0;
  format_put(&one->labels[label], e, h, MISSING_LABEL, &w->value);
  slice raw = {w->value.data, w->value.length};
  const seen_text *found = seen_find(&of->values[label], raw);
  if (found != NULL) {
    return found;
  }
  label_put(&w->label, raw, of->labels, of->label_count);
  return seen_get(&of->values[label], (slice){w->label.data, w->label.length});
}

#define AS_OTHER " allows, the rest is \"other\" (said once, counted in metrics_overflow)"

/* Fills in the values of all labels. NULL: as the stream had them; else why not. */
static const char *labels_of(const measure *one, metric *of, const entry *e, const host *h,
                             envoy_dynamic_module_type_module_buffer *labels) {
  const seen_text *found[METRIC_LABELS];
  const char *over = NULL;
  for (size_t i = 0; i < one->label_count; i++) {
    found[i] = label_of(one, of, i, e, h);
    labels[i] = lent(found[i] != NULL ? found[i]->text : OTHER);
    over = found[i] != NULL ? over : "more label values than max_label_values" AS_OTHER;
  }
  slice series = {(const char *)found, one->label_count * sizeof found[0]};
  if (one->label_count > 0 && seen_get(&of->series, series) == NULL) {
    for (size_t i = 0; i < one->label_count; i++) {
      labels[i] = one->constant[i] != NULL ? labels[i] : lent(OTHER);
    }
    return "more combinations of label values than max_series" AS_OTHER;
  }
  return over;
}

measure_tally measures_take(const plan *p, const entry *e, const host *h) {
  const measures *m = p->measures;
  measure_tally tally = {0, 0};
  for (size_t i = 0; i < m->count; i++) {
    const measure *one = &m->all[i];
    metric *of = &m->metrics[one->metric];
    envoy_dynamic_module_type_module_buffer labels[METRIC_LABELS];
    uint64_t number;
    if (!value_of(one, of, p, e, h, &number)) {
      tally.skipped++;
      continue;
    }
    const char *over = labels_of(one, of, e, h, labels);
    if (over != NULL) {
      tally.over++;
      tell(&of->full, p, of, over);
    }
    h->call->measure(h->metrics, of->kind, of->id, labels, one->label_count, number);
  }
  return tally;
}
