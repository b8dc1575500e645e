/* SPDX-License-Identifier: Apache-2.0 */
#include "flags.h"

#include <string.h>

/* By bit. A name that a newer Envoy adds is left out until it stands here. */
static const char *const NAMES[] = {
    "LH",   "UH",   "UT",   "LR",   "UR", "UF",  "UC", "UO", "NR",  "DI",
    "FI",   "RL",   "UAEX", "RLSE", "DC", "URX", "SI", "IH", "DPE", "UMSDR",
    "RFCF", "NFCF", "DT",   "UPE",  "NC", "OM",  "DF", "DO", "DR",  "UDO",
};

size_t flags_text(uint64_t flags, char *out, size_t size) {
  size_t length = 0;
  for (size_t bit = 0; bit < sizeof NAMES / sizeof NAMES[0]; bit++) {
    size_t name = strlen(NAMES[bit]);
    if (!(flags >> bit & 1) || length + name + 1 > size) {
      continue;
    }
    if (length > 0) {
      out[length++] = ',';
    }
    memcpy(out + length, NAMES[bit], name);
    length += name;
  }
  if (length == 0) {
    out[length++] = '-';
  }
  return length;
}
