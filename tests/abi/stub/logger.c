/* SPDX-License-Identifier: Apache-2.0
 *
 * logger.c: the stub host's access loggers: their configs, one logger for each thread, and the logs
 * of streams that no filter of the module sees.
 */
#include "stub.h"

#include <stdlib.h>

typedef struct step { /* what each thread does with its logger */
  config *config;
  size_t logger;
} step;

static void begin(void *argument) {
  step *s = argument;
  logger *l = &s->config->loggers[s->logger];
  l->module = hooks.access_logger_new(s->config->module, l);
  if (l->module == NULL) {
    breach("access_logger_new returned NULL", s->config->id);
  }
}

static void flush(void *argument) {
  step *s = argument;
  hooks.access_logger_flush(s->config->loggers[s->logger].module);
}

static void end(void *argument) {
  step *s = argument;
  flush(s);
  hooks.access_logger_destroy(s->config->loggers[s->logger].module);
}

/* On each worker, then on the main thread, whose logger comes last. */
static void everywhere(config *c, void (*job)(void *)) {
  for (size_t i = 0; i <= settings.concurrency; i++) {
    step s = {c, i};
    threads_run(i < settings.concurrency ? (int)i : MAIN_THREAD, job, &s);
  }
}

config *logger_make(const char *id, bytes name, bytes text) {
  config *c = config_make(id, name, text, true);
  if (c != NULL) {
    c->loggers = must(calloc(settings.concurrency + 1, sizeof *c->loggers));
    everywhere(c, begin);
  }
  return c;
}

void logger_flush(config *c) { everywhere(c, flush); }

void logger_kill(config *c) {
  everywhere(c, end);
  config_kill(c);
  free(c->loggers);
  c->loggers = NULL;
}

void hook_log(stream *s, config *c, int type) {
  stream_enter(s);
  hooks.access_logger_log(s, c->loggers[s->worker].module, (TYPE(access_log_type))type);
  stream_leave(s);
}
