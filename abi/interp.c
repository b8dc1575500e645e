/* SPDX-License-Identifier: Apache-2.0
 *
 * interp.c: starts Python in Envoy's process, once, on the main thread; or refuses with a reason.
 *
 * The only hand-written file that includes Python.h: after the start, cffi does all that is needed.
 * Python is never finalized: Envoy's threads outlive every moment at which that would be safe.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "interp.h"
#include "services.h"

#ifndef PYFILTER_BASE_PYTHON
#define PYFILTER_BASE_PYTHON "" /* the interpreter that this was built for */
#endif

/* Releases that we know, newest first, and one callback that came with each: how hosts tell
 * themselves apart. */
static const struct release {
  const char *name;
  int minor;
  const char *marker;
  const char *abi_version;
} RELEASES[] = {
    {"1.40", 40, "envoy_dynamic_module_callback_log_v2", "v0.2.0"},
    {"1.39", 39, "envoy_dynamic_module_callback_get_log_level", "v0.1.0"},
    {"1.38", 38, "envoy_dynamic_module_callback_is_validation_mode", "v0.1.0"},
};

typedef void (*log_function)(envoy_dynamic_module_type_log_level,
                             envoy_dynamic_module_type_module_buffer);

/* Writes one line to Envoy's log; to stderr where the host is too old to have the callback. */
static void say(envoy_dynamic_module_type_log_level level, const char *text) {
  log_function host_log;
  *(void **)&host_log = dlsym(RTLD_DEFAULT, "envoy_dynamic_module_callback_log");
  if (host_log != NULL) {
    envoy_dynamic_module_type_module_buffer message = {text, strlen(text)};
    host_log(level, message);
  } else {
    fprintf(stderr, "%s\n", text);
  }
}

static void refuse(const char *reason) {
  say(envoy_dynamic_module_type_log_level_Error, reason);
}

/* The newest known release whose marker the host has; NULL: older than all of them. */
static const struct release *find_release(void) {
  for (size_t i = 0; i < sizeof RELEASES / sizeof RELEASES[0]; i++) {
    if (dlsym(RTLD_DEFAULT, RELEASES[i].marker) != NULL) {
      return &RELEASES[i];
    }
  }
  return NULL;
}

int pyfilter_host_release(void) {
  const struct release *host = find_release();
  return host == NULL ? 0 : host->minor;
}

/* Envoy opens us RTLD_LOCAL, and then no C extension (_cffi_backend, _socket) finds libpython's
 * symbols. libpython is mapped already; opening it again only makes its symbols global. */
static bool make_libpython_global(void) {
  Dl_info python;
  return dladdr((void *)Py_GetVersion, &python) != 0 && python.dli_fname != NULL &&
         dlopen(python.dli_fname, RTLD_NOLOAD | RTLD_NOW | RTLD_GLOBAL) != NULL;
}

/* Cuts the last `levels` parts off a path; false when it has fewer. */
static bool cut(char *path, int levels) {
  for (; levels > 0; levels--) {
    char *slash = strrchr(path, '/');
    if (slash == NULL || slash == path) {
      return false;
    }
    *slash = '\0';
  }
  return true;
}

/* The folder that holds the package: the shared object lies inside the package. */
static bool site_folder(char *folder) {
  Dl_info self;
  return dladdr((void *)interp_start, &self) != 0 && realpath(self.dli_fname, folder) != NULL &&
         cut(folder, 2);
}

/* The interpreter whose environment we were installed into: PREFIX/lib/pythonX.Y/site-packages
 * says PREFIX and which Python of it. Else the one that we were built for. Python reads from it where its library and the
 * packages beside us are, so nothing has to be activated. */
static const char *find_interpreter(const char *folder) {
  static char path[PATH_MAX + 16];
  snprintf(path, sizeof path, "%s", folder);
  if (cut(path, 3)) {
    snprintf(path + strlen(path), 16, "/bin/python%d.%d", PY_MAJOR_VERSION, PY_MINOR_VERSION);
    if (access(path, X_OK) == 0) {
      return path;
    }
  }
  return access(PYFILTER_BASE_PYTHON, X_OK) == 0 ? PYFILTER_BASE_PYTHON : NULL;
}

/* Starts the interpreter without arguments and without signal handlers, which are Envoy's. */
static PyStatus initialize(const char *interpreter) {
  PyConfig config;
  PyConfig_InitPythonConfig(&config);
  config.install_signal_handlers = 0;
  config.parse_argv = 0;
  PyStatus status = PyStatus_Ok();
  if (interpreter != NULL) {
    status = PyConfig_SetBytesString(&config, &config.program_name, interpreter);
  }
  if (!PyStatus_Exception(status)) {
    status = Py_InitializeFromConfig(&config);
  }
  PyConfig_Clear(&config);
  return status;
}

/* Tells Python where the package lies, for installations that no site folder covers. With the GIL. */
static bool publish(const char *folder) {
  PyObject *text = PyUnicode_DecodeFSDefault(folder);
  bool done = text != NULL && PySys_SetObject("_envoy_pyfilter_site", text) == 0;
  Py_XDECREF(text);
  return done;
}

static bool start_python(void) {
  static char folder[PATH_MAX];
  if (!site_folder(folder)) {
    refuse("envoy_pyfilter: cannot find the folder of libenvoy_pyfilter.so");
    return false;
  }
  if (!Py_IsInitialized()) {
    PyStatus status = initialize(find_interpreter(folder));
    if (PyStatus_Exception(status)) {
      refuse(status.err_msg != NULL ? status.err_msg : "envoy_pyfilter: Python did not start");
      return false;
    }
    PyEval_SaveThread();
  }
  PyGILState_STATE state = PyGILState_Ensure(); /* another module may have started Python */
  bool published = publish(folder);
  PyGILState_Release(state);
  if (!published) {
    refuse("envoy_pyfilter: Python does not take the folder of the package");
    return false;
  }
  if (pyfilter_attach_python() != 0) {
    refuse("envoy_pyfilter: the package did not load; Python's traceback is on stderr");
    return false;
  }
  return true;
}

const char *interp_start(void) {
  const struct release *host = find_release();
  if (host == NULL) {
    refuse("envoy_pyfilter: this Envoy is older than 1.38 (it lacks the callback "
           "is_validation_mode); supported are Envoy 1.38, 1.39 and 1.40");
    return NULL;
  }
  if (!make_libpython_global()) {
    refuse("envoy_pyfilter: libpython cannot be opened for C extensions");
    return NULL;
  }
  if (!start_python()) {
    return NULL;
  }
  char found[128];
  snprintf(found, sizeof found, "envoy_pyfilter: Python %.*s in a host like Envoy %s (ABI %s)",
           (int)strcspn(Py_GetVersion(), " "), Py_GetVersion(), host->name, host->abi_version);
  say(envoy_dynamic_module_type_log_level_Debug, found);
  return host->abi_version;
}
