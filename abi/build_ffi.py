# SPDX-License-Identifier: Apache-2.0
"""
Hands C's headers to cffi: the same text that the C compiler reads.

CMake runs this through ``cffi-gen-src``; the source that comes out stays in the build folder.
"""

from __future__ import annotations

import re
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).parent

# Runs inside Envoy once Python is up. The package's folder is a site folder in most installations;
# where it is not (pip --target, an unpacked wheel), it becomes one here.
INIT = """
import site, sys
if sys._envoy_pyfilter_site not in sys.path:
    site.addsitedir(sys._envoy_pyfilter_site)
import envoy_pyfilter._hooks
"""

SOURCE = """
#include "crossing.h"
#include "envoy_abi_logger.h"
#include "interp.h"
static int cffi_start_python(void);
int pyfilter_attach_python(void) { return cffi_start_python(); }
"""


def declarations(name: str) -> str:
    """Return a header's plain declarations: no preprocessor lines, no ABI_* words, no hooks."""
    text = (HERE / name).read_text(encoding="utf-8")
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    text = re.sub(r"^#.*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"ABI_HOOK [^;]*;", "", text)
    return text.replace("ABI_WEAK ", "")


ffibuilder = FFI()
ffibuilder.cdef(declarations("envoy_abi.h"))
ffibuilder.cdef(declarations("envoy_abi_logger.h"))
ffibuilder.cdef(declarations("services.h"))
ffibuilder.cdef('extern "Python+C" {' + declarations("crossing.h") + "}")
ffibuilder.embedding_api("")
ffibuilder.embedding_init_code(INIT)
ffibuilder.set_source("envoy_pyfilter._abi", SOURCE)
