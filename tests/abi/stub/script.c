/* SPDX-License-Identifier: Apache-2.0
 *
 * script.c: what a script can say. A line is a command and its words; a word has no blanks, see
 * unescape(). Commands for a stream run on its worker, others on the main thread; "@x" in front of
 * a line chooses the thread that is neither, "@2" a worker.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"

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

void do_fail(words *w) {
  for (size_t i = 0; i < sizeof failing / sizeof failing[0]; i++) {
    snprintf(failing[i], sizeof failing[i], "%s", i + 1 < (size_t)w->count ? w->word[i + 1] : "");
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

void do_when(words *w) { /* when STREAM CALLBACK word word ... */
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
    {"logger", 4, false, do_logger},
    {"logger_flush", 2, false, do_logger_flush},
    {"logger_destroy", 2, false, do_logger_destroy},
    {"bare", 2, false, do_bare},
    {"log", 4, true, do_log},
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
