/* SPDX-License-Identifier: Apache-2.0
 *
 * main.c: reads lines from stdin, and answers each with its events on the file descriptor that the
 * command line names, the last of them {"done": ...}.
 */
#include <stdio.h>
#include <stdlib.h>

#include "stub.h"

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: %s OUTPUT_FD < script\n", argv[0]);
    return 2;
  }
  out_to(atoi(argv[1]));
  char *line = NULL;
  size_t capacity = 0;
  while (getline(&line, &capacity, stdin) > 0) {
    execute(line);
    json j = event("done", "");
    json_send(&j);
  }
  free(line);
  fflush(NULL);
  exit(0); /* as Envoy ends: Python is not finalized, threads are not joined */
}
