/* SPDX-License-Identifier: Apache-2.0 */
#include "flags.h"

#include <string.h>

enum { RETRIES_EXHAUSTED = 15 };

/* By bit. A name that a newer Envoy adds is left out until it stands here. */
static const char *const NAMES[] = {
    "LH",   "UH",   "UT",   "LR",   "UR", "UF",  "UC", "UO", "NR",  "DI",
    "FI",   "RL",   "UAEX", "RLSE", "DC", "URX", "SI", "IH", "DPE", "UMSDR",
    "RFCF", "NFCF", "DT",   "UPE",  "NC", "OM",  "DF", "DO", "DR",  "UDO",
};

/* Appends one flag's name, when there is room for it; returns the new length. */
static size_t put_flag(size_t bit, char *out, size_t length, size_t size) {
  size_t name = strlen(NAMES[bit]);
  if (length + name + 1 > size) {
    return length;
  }
  if (length > 0) {
    out[length++] = ',';
  }
  memcpy(out + length, NAMES[bit], name);
  return length + name;
}

/* Envoy prints flags in the order in which they were raised, which the bits do not tell. Retries
 * are given up before the last failure is noted, so URX goes first. */
size_t flags_text(uint64_t flags, char *out, size_t size) {
  size_t length = 0;
  if (flags >> RETRIES_EXHAUSTED & 1) {
    length = put_flag(RETRIES_EXHAUSTED, out, length, size);
  }
  for (size_t bit = 0; bit < sizeof NAMES / sizeof NAMES[0]; bit++) {
    if ((flags >> bit & 1) && bit != RETRIES_EXHAUSTED) {
      length = put_flag(bit, out, length, size);
    }
  }
  if (length == 0) {
    out[length++] = '-';
  }
  return length;
}
