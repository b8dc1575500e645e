/* SPDX-License-Identifier: Apache-2.0
 *
 * commands_process.c: commands for the process, its configs and its routes.
 */
#include <dirent.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"

/* --- the process --- */

void do_open(words *w) {
  threads_start(settings.concurrency);
  module_open(w->word[1]);
}

void do_reopen(words *w) { module_open(w->word[1]); }

/* For a test of the tests. */
void do_leak(words *w) {
  char *volatile lost = must(malloc(4321));
  lost[0] = w->word[0][0];
  lost = NULL;
}

void do_close(words *w) { module_close(w->word[1]); }

void do_set(words *w) {
  int value = atoi(w->word[2]);
  const char *name = w->word[1];
  if (strcmp(name, "validation") == 0) {
    settings.validation = value != 0;
  } else if (strcmp(name, "nulls") == 0) {
    settings.nulls = value != 0;
  } else if (strcmp(name, "local_reply_hook") == 0) {
    settings.local_reply_hook = value != 0;
  } else if (strcmp(name, "log_level") == 0) {
    settings.log_level = value;
  } else if (strcmp(name, "concurrency") == 0) {
    settings.concurrency = (uint32_t)value;
  } else if (strcmp(name, "clock_back") == 0) {
    settings.clock_back = value;
  } else if (strcmp(name, "monotonic_us") == 0) {
    settings.monotonic_us = value;
  } else {
    fail("unknown setting", name);
  }
}

static int entries_of(const char *folder) {
  DIR *open = opendir(folder);
  int count = 0;
  if (open != NULL) {
    for (struct dirent *one = readdir(open); one != NULL; one = readdir(open)) {
      count += one->d_name[0] != '.';
    }
    closedir(open);
  }
  return count;
}

void do_left(words *w) {
  (void)w;
  json j = event("left", "");
  json_number(&j, "schedulers", atomic_load(&live_schedulers));
  json_number(&j, "threads", entries_of("/proc/self/task"));
  json_number(&j, "files", entries_of("/proc/self/fd") - 1); /* one is the folder itself */
  json_send(&j);
}

/* Bytes that are allocated now. A sanitizer's allocator knows better than the C library. */
extern size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

void do_memory(words *w) {
  (void)w;
  json j = event("memory", "");
  json_number(&j, "bytes",
              (double)(__sanitizer_get_current_allocated_bytes != NULL
                           ? __sanitizer_get_current_allocated_bytes()
                           : mallinfo2().uordblks));
  json_send(&j);
}

void do_stats(words *w) {
  (void)w;
  metrics_print();
}

/* --- configs and routes --- */

void do_config(words *w) { /* config ID FILTER_NAME CONFIG */
  bytes name = unescape(w->word[2]), text = unescape(w->word[3]);
  config *c = config_make(w->word[1], name, text, false);
  json j = event("hook", "config_new");
  json_bool(&j, "accepted", c != NULL);
  json_send(&j);
  bytes_free(&name);
  bytes_free(&text);
}

void do_config_destroy(words *w) {
  config *c = config_find(w->word[1]);
  if (c == NULL) {
    fail("no such config", w->word[1]);
  } else {
    config_kill(c);
  }
}

void do_route(words *w) { /* route ID FILTER_NAME CONFIG */
  bytes name = unescape(w->word[2]), text = unescape(w->word[3]);
  json j = event("hook", "per_route_config_new");
  json_bool(&j, "accepted", route_make(w->word[1], name, text));
  json_send(&j);
  bytes_free(&name);
  bytes_free(&text);
}

void do_route_destroy(words *w) {
  route *r = route_find(w->word[1]);
  if (r == NULL) {
    fail("no such route", w->word[1]);
  } else {
    route_kill(r);
  }
}

/* --- access loggers --- */

void do_logger(words *w) { /* logger ID LOGGER_NAME CONFIG */
  bytes name = unescape(w->word[2]), text = unescape(w->word[3]);
  config *c = logger_make(w->word[1], name, text);
  json j = event("hook", "config_new");
  json_bool(&j, "accepted", c != NULL);
  json_send(&j);
  bytes_free(&name);
  bytes_free(&text);
}

static config *logger_of(words *w, int word) {
  config *c = config_find(w->word[word]);
  if (c == NULL || !c->of_logger) {
    fail("no such logger", w->word[word]);
    return NULL;
  }
  return c;
}

void do_logger_flush(words *w) {
  config *c = logger_of(w, 1);
  if (c != NULL) {
    logger_flush(c);
  }
}

void do_logger_destroy(words *w) {
  config *c = logger_of(w, 1);
  if (c != NULL) {
    logger_kill(c);
  }
}

void do_bare(words *w) { stream_bare(w->word[1], here); } /* bare STREAM */

void do_log(words *w) { /* log STREAM LOGGER TYPE */
  config *c = logger_of(w, 2);
  if (c != NULL) {
    hook_log(w->stream, c, atoi(w->word[3]));
  }
}

/* --- streams --- */

void do_new(words *w) { /* new STREAM CONFIG [ROUTE] */
  config *c = config_find(w->word[2]);
  route *r = w->count > 3 ? route_find(w->word[3]) : NULL;
  if (c == NULL || (r == NULL && w->count > 3)) {
    fail("no such config or route", w->word[2]);
  } else {
    stream_make(w->word[1], c, here, r == NULL ? NULL : r->module);
  }
}

void do_alive(words *w) { /* alive STREAM */
  json j = event("stream", w->word[1]);
  json_bool(&j, "alive", stream_find(w->word[1]) != NULL);
  json_send(&j);
}

/* --- many streams at once --- */

void do_load(words *w) { /* load CONFIG STREAMS SEED */
  config *c = config_find(w->word[1]);
  if (c == NULL) {
    fail("no such config", w->word[1]);
  } else {
    load_begin(c, (unsigned)atoi(w->word[2]), strtoull(w->word[3], NULL, 10));
  }
}

void do_join(words *w) {
  (void)w;
  threads_join();
  load_print();
}
