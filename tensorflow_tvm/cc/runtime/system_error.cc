/* Copyright 2026 The tensorflow_tvm Authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
==============================================================================*/

#include "tensorflow_tvm/cc/runtime/system_error.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace tensorflow_tvm {

absl::Status SystemError(absl::string_view what, int error) {
  if (error == EMFILE || error == ENFILE) return NoDescriptorsLeft(what);
  return absl::InternalError(absl::StrCat(what, ": ", std::strerror(error)));
}

bool HasNoDescriptorsLeft() {
  const int fd = open("/", O_PATH | O_CLOEXEC);
  if (fd < 0) return errno == EMFILE || errno == ENFILE;
  close(fd);
  return false;
}

absl::Status NoDescriptorsLeft(absl::string_view what) {
  rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  return absl::ResourceExhaustedError(absl::StrCat(
      what, ": no file descriptors are left (too many open files; this process may have ",
      limit.rlim_cur, "). Close files, or allow more: ulimit -n"));
}

}  // namespace tensorflow_tvm
