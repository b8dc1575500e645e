/* SPDX-License-Identifier: Apache-2.0
 *
 * script.c: what a script can say. A line is a command and its words; a word has no blanks, see
 * unescape(). Commands for a stream run on its worker, others on the main thread; "@x" in front of
 * a line chooses the thread that is neither, "@2" a worker.
 */
#include "stub.h"

#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WORDS = 256 };

typedef struct words {
  int count;
  char *word[WORDS];
  stream *stream; /* of commands for a stream, else NULL */
} words;

/* --- lines that run inside callbacks, and callbacks that fail --- */

static char failing[16][64];

bool told_to_fail(const char *callback) {
  for (size_t i = 0; i < sizeof failing / sizeof failing[0]; i++) {
    if (failing[i][0] != '\0' &&
        (strcmp(failing[i], callback) == 0 || strcmp(failing[i], "*") == 0)) {
      return true;
    }
  }
  return false;
}

static void do_fail(words *w) {
  for (size_t i = 0; i < sizeof failing / sizeof failing[0]; i++) {
    snprintf(failing[i], sizeof failing[i], "%s",
             i + 1 < (size_t)w->count ? w->word[i + 1] : "");
  }
}

/* Takes what the script put into this callback off the stream's list, in order. */
static injection *take_injections(stream *s, const char *callback) {
  injection *taken = NULL, **end = &taken;
  for (injection **at = &s->injections; *at != NULL;) {
    injection *i = *at;
    if (strcmp(i->callback, callback) == 0) {
      *at = i->next;
      i->next = NULL;
      *end = i;
      end = &i->next;
    } else {
      at = &i->next;
    }
  }
  return taken;
}

/* Runs it. What it adds to the same callback waits for the next call; the stream may be gone. */
void inject(stream *s, const char *callback) {
  injection *next;
  for (injection *i = take_injections(s, callback); i != NULL; i = next) {
    next = i->next;
    execute(i->line);
    free(i->callback);
    free(i->line);
    free(i);
  }
}

static void do_when(words *w) { /* when STREAM CALLBACK word word ... */
  char line[4096] = "";
  for (int i = 3; i < w->count; i++) {
    strncat(line, w->word[i], sizeof line - strlen(line) - 2);
    strcat(line, " ");
  }
  injection **at = &w->stream->injections;
  while (*at != NULL) {
    at = &(*at)->next;
  }
  *at = must(calloc(1, sizeof **at));
  (*at)->callback = must(strdup(w->word[2]));
  (*at)->line = must(strdup(line));
}

/* --- the process --- */

static void do_open(words *w) {
  threads_start(settings.concurrency);
  module_open(w->word[1]);
}

static void do_reopen(words *w) { module_open(w->word[1]); }

/* For a test of the tests. */
static void do_leak(words *w) {
  char *volatile lost = must(malloc(4321));
  lost[0] = w->word[0][0];
  lost = NULL;
}

static void do_close(words *w) { module_close(w->word[1]); }

static void do_set(words *w) {
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

static void do_left(words *w) {
  (void)w;
  json j = event("left", "");
  json_number(&j, "schedulers", atomic_load(&live_schedulers));
  json_number(&j, "threads", entries_of("/proc/self/task"));
  json_number(&j, "files", entries_of("/proc/self/fd") - 1); /* one is the folder itself */
  json_send(&j);
}

/* Bytes that are allocated now. A sanitizer's allocator knows better than the C library. */
extern size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static void do_memory(words *w) {
  (void)w;
  json j = event("memory", "");
  json_number(&j, "bytes", (double)(__sanitizer_get_current_allocated_bytes != NULL
                                        ? __sanitizer_get_current_allocated_bytes()
                                        : mallinfo2().uordblks));
  json_send(&j);
}

static void do_stats(words *w) {
  (void)w;
  metrics_print();
}

/* --- configs and routes --- */

static void do_config(words *w) { /* config ID FILTER_NAME CONFIG */
  bytes name = unescape(w->word[2]), text = unescape(w->word[3]);
  config *c = config_make(w->word[1], name, text);
  json j = event("hook", "config_new");
  json_bool(&j, "accepted", c != NULL);
  json_send(&j);
  bytes_free(&name);
  bytes_free(&text);
}

static void do_config_destroy(words *w) {
  config *c = config_find(w->word[1]);
  if (c == NULL) {
    fail("no such config", w->word[1]);
  } else {
    config_kill(c);
  }
}

static void do_route(words *w) { /* route ID FILTER_NAME CONFIG */
  bytes name = unescape(w->word[2]), text = unescape(w->word[3]);
  json j = event("hook", "per_route_config_new");
  json_bool(&j, "accepted", route_make(w->word[1], name, text));
  json_send(&j);
  bytes_free(&name);
  bytes_free(&text);
}

static void do_route_destroy(words *w) {
  route *r = route_find(w->word[1]);
  if (r == NULL) {
    fail("no such route", w->word[1]);
  } else {
    route_kill(r);
  }
}

static void do_new(words *w) { /* new STREAM CONFIG [ROUTE] */
  config *c = config_find(w->word[2]);
  route *r = w->count > 3 ? route_find(w->word[3]) : NULL;
  if (c == NULL || (r == NULL && w->count > 3)) {
    fail("no such config or route", w->word[2]);
  } else {
    stream_make(w->word[1], c, here, r == NULL ? NULL : r->module);
  }
}

static void do_alive(words *w) { /* alive STREAM */
  json j = event("stream", w->word[1]);
  json_bool(&j, "alive", stream_find(w->word[1]) != NULL);
  json_send(&j);
}

/* --- a stream's hooks --- */

/* The words from `first` on, name=value each, become the map. */
static void fill_map(words *w, int map, int first) {
  header_map *m = &w->stream->maps[map];
  map_clear(m);
  m->present = true;
  for (int i = first; i < w->count; i++) {
    char *equals = strchr(w->word[i] + 1, '='); /* +1: a name is never empty */
    if (equals == NULL) {
      fail("not name=value", w->word[i]);
      return;
    }
    *equals = '\0';
    map_add(m, unescape(w->word[i]), unescape(equals + 1));
  }
}

static bool yes(const char *word) { return word[0] == '1'; }

static void do_request_headers(words *w) { /* request_headers STREAM END name=value ... */
  fill_map(w, REQUEST_HEADERS, 3);
  (void)hook_headers(w->stream, REQUEST_HEADERS, yes(w->word[2]));
}

static void do_response_headers(words *w) {
  fill_map(w, RESPONSE_HEADERS, 3);
  (void)hook_headers(w->stream, RESPONSE_HEADERS, yes(w->word[2]));
}

static void body(words *w, bool request) { /* ..._body STREAM END DATA */
  bytes data = unescape(w->word[3]);
  (void)hook_body(w->stream, request, data, yes(w->word[2]));
  bytes_free(&data);
}

static void do_request_body(words *w) { body(w, true); }
static void do_response_body(words *w) { body(w, false); }

static void do_request_trailers(words *w) {
  fill_map(w, REQUEST_TRAILERS, 2);
  (void)hook_trailers(w->stream, REQUEST_TRAILERS);
}

static void do_response_trailers(words *w) {
  fill_map(w, RESPONSE_TRAILERS, 2);
  (void)hook_trailers(w->stream, RESPONSE_TRAILERS);
}

static void do_map(words *w) { /* map STREAM MAP name=value ...: changed by another filter */
  lend_release(w->stream, HOOK, 0);
  fill_map(w, atoi(w->word[2]), 3);
}

static void do_local_reply(words *w) { /* local_reply STREAM CODE DETAILS RESET_IMMINENT */
  bytes details = unescape(w->word[3]);
  (void)hook_local_reply(w->stream, (uint32_t)atoi(w->word[2]), details, yes(w->word[4]));
  bytes_free(&details);
}

static void do_complete(words *w) { hook_complete(w->stream); }
static void do_above(words *w) { hook_watermark(w->stream, true); }
static void do_below(words *w) { hook_watermark(w->stream, false); }
static void do_destroy(words *w) { stream_kill(w->stream); }

/* Waits until COUNT wake-ups are there and calls the hook for each. */
static void do_pump(words *w) { /* pump STREAM COUNT */
  mailbox *m = w->stream->mailbox;
  size_t wanted = (size_t)atoi(w->word[2]);
  struct timespec deadline;
  clock_gettime(CLOCK_REALTIME, &deadline);
  deadline.tv_sec += 20;
  uint64_t ids[sizeof m->ids / sizeof m->ids[0]];
  pthread_mutex_lock(&m->lock);
  while (m->count < wanted && pthread_cond_timedwait(&m->filled, &m->lock, &deadline) == 0) {
  }
  size_t count = m->count;
  memcpy(ids, m->ids, sizeof ids);
  m->count = 0;
  pthread_mutex_unlock(&m->lock);
  if (count < wanted) {
    fail("no wake-up came", w->word[1]);
  }
  for (size_t i = 0; i < count && w->stream->mailbox != NULL; i++) {
    hook_scheduled(w->stream, ids[i]);
  }
}

static void do_wake(words *w) { hook_scheduled(w->stream, (uint64_t)atoi(w->word[2])); }

/* --- a stream's other data --- */

static void do_attribute(words *w) { /* attribute STREAM ID s|i|b VALUE */
  bytes value = unescape(w->word[4]);
  attribute_put(w->stream, atoi(w->word[2]), w->word[3][0], value,
                strtoull(w->word[4], NULL, 10));
  bytes_free(&value);
}

static void do_state(words *w) { /* state STREAM SOURCE NAMESPACE KEY s|n|b|S|N|B VALUE ... */
  bytes ns = unescape(w->word[3]), key = unescape(w->word[4]);
  entry *e = entry_put(w->stream, atoi(w->word[2]), ns, key, w->word[5][0]);
  for (int i = 6; i < w->count; i++) {
    bytes value = unescape(w->word[i]);
    entry_add(e, value, atof(w->word[i]));
    bytes_free(&value);
  }
  bytes_free(&ns);
  bytes_free(&key);
}

static void do_same_buffer(words *w) { w->stream->same_buffer = yes(w->word[2]); }

static void do_print(words *w) {
  state_print(w->stream);
  for (int map = 0; map < MAPS; map++) {
    json j = event("map", "");
    json_number(&j, "number", map);
    json_bool(&j, "present", w->stream->maps[map].present);
    json_open(&j, "headers", '[');
    for (size_t i = 0; i < w->stream->maps[map].count; i++) {
      pair p = w->stream->maps[map].pairs[i];
      json_open(&j, NULL, '[');
      json_bytes(&j, NULL, p.name.ptr, p.name.length);
      json_bytes(&j, NULL, p.value.ptr, p.value.length);
      json_close(&j, ']');
    }
    json_close(&j, ']');
    json_send(&j);
  }
}

/* --- many streams at once --- */

static void do_load(words *w) { /* load CONFIG STREAMS SEED */
  config *c = config_find(w->word[1]);
  if (c == NULL) {
    fail("no such config", w->word[1]);
  } else {
    load_begin(c, (unsigned)atoi(w->word[2]), strtoull(w->word[3], NULL, 10));
  }
}

static void do_join(words *w) {
  (void)w;
  threads_join();
  load_print();
}

static const struct command {
  const char *name;
  int words; /* at least, with the command itself */
  bool of_stream;
  void (*run)(words *w);
} COMMANDS[] = {
    {"open", 2, false, do_open},
    {"reopen", 2, false, do_reopen},
    {"close", 2, false, do_close},
    {"leak", 1, false, do_leak},
    {"set", 3, false, do_set},
    {"fail", 1, false, do_fail},
    {"left", 1, false, do_left},
    {"memory", 1, false, do_memory},
    {"stats", 1, false, do_stats},
    {"config", 4, false, do_config},
    {"config_destroy", 2, false, do_config_destroy},
    {"route", 4, false, do_route},
    {"route_destroy", 2, false, do_route_destroy},
    {"load", 4, false, do_load},
    {"join", 1, false, do_join},
    {"new", 3, false, do_new},
    {"alive", 2, false, do_alive},
    {"request_headers", 3, true, do_request_headers},
    {"request_body", 4, true, do_request_body},
    {"request_trailers", 2, true, do_request_trailers},
    {"response_headers", 3, true, do_response_headers},
    {"response_body", 4, true, do_response_body},
    {"response_trailers", 2, true, do_response_trailers},
    {"local_reply", 5, true, do_local_reply},
    {"complete", 2, true, do_complete},
    {"destroy", 2, true, do_destroy},
    {"above", 2, true, do_above},
    {"below", 2, true, do_below},
    {"pump", 3, true, do_pump},
    {"wake", 3, true, do_wake},
    {"when", 4, true, do_when},
    {"map", 3, true, do_map},
    {"attribute", 5, true, do_attribute},
    {"state", 6, true, do_state},
    {"same_buffer", 3, true, do_same_buffer},
    {"print", 2, true, do_print},
};

struct job {
  const struct command *command;
  words *words;
};

static void run_job(void *argument) {
  struct job *j = argument;
  j->command->run(j->words);
}

static const struct command *command_find(const char *name) {
  for (size_t i = 0; i < sizeof COMMANDS / sizeof COMMANDS[0]; i++) {
    if (strcmp(COMMANDS[i].name, name) == 0) {
      return &COMMANDS[i];
    }
  }
  return NULL;
}

/* Splits a line, in place; the thread that it names, else -1 for the main one. */
static int split(char *line, words *w) {
  int thread = MAIN_THREAD;
  char *rest = NULL;
  for (char *word = strtok_r(line, " \n", &rest); word != NULL && w->count < WORDS;
       word = strtok_r(NULL, " \n", &rest)) {
    if (w->count == 0 && word[0] == '@') {
      thread = word[1] == 'x' ? OTHER_THREAD : atoi(word + 1);
    } else {
      w->word[w->count++] = word;
    }
  }
  return thread;
}

void execute(const char *line) {
  char *copy = must(strdup(line));
  words w = {0, {NULL}, NULL};
  int thread = split(copy, &w);
  const struct command *command = w.count > 0 ? command_find(w.word[0]) : NULL;
  if (command == NULL || w.count < command->words) {
    fail("no such command, or too few words", line);
  } else if (command->of_stream && (w.stream = stream_find(w.word[1])) == NULL) {
    fail("no such stream", w.word[1]);
  } else {
    struct job j = {command, &w};
    if (w.stream != NULL) {
      thread = w.stream->worker;
    }
    threads_run(thread, run_job, &j);
  }
  free(copy);
}
