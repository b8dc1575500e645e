/* SPDX-License-Identifier: Apache-2.0
 *
 * commands.h: one function for each command of the script; script.c has the table.
 */
#ifndef STUB_COMMANDS_H
#define STUB_COMMANDS_H

#include "stub.h"

enum { WORDS = 256 };

/* A line, split. */
typedef struct words {
  int count;
  char *word[WORDS];
  stream *stream; /* of commands for a stream, else NULL */
} words;

void do_fail(words *w);
void do_when(words *w);
void do_open(words *w);
void do_reopen(words *w);
void do_leak(words *w);
void do_close(words *w);
void do_set(words *w);
void do_left(words *w);
void do_memory(words *w);
void do_stats(words *w);
void do_config(words *w);
void do_config_destroy(words *w);
void do_route(words *w);
void do_route_destroy(words *w);
void do_new(words *w);
void do_alive(words *w);
void do_request_headers(words *w);
void do_response_headers(words *w);
void do_request_body(words *w);
void do_response_body(words *w);
void do_request_trailers(words *w);
void do_response_trailers(words *w);
void do_map(words *w);
void do_local_reply(words *w);
void do_complete(words *w);
void do_above(words *w);
void do_below(words *w);
void do_destroy(words *w);
void do_pump(words *w);
void do_wake(words *w);
void do_attribute(words *w);
void do_state(words *w);
void do_same_buffer(words *w);
void do_print(words *w);
void do_logger(words *w);
void do_logger_flush(words *w);
void do_logger_destroy(words *w);
void do_bare(words *w);
void do_log(words *w);
void do_load(words *w);
void do_join(words *w);

#endif
