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

#ifndef TENSORFLOW_TVM_CC_RUNTIME_SYSTEM_ERROR_H_
#define TENSORFLOW_TVM_CC_RUNTIME_SYSTEM_ERROR_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace tensorflow_tvm {

/// The error of a system call that failed with `error`, an errno: `what` could not be done. Without
/// file descriptors it is ResourceExhausted and tells how to get more, else Internal.
absl::Status SystemError(absl::string_view what, int error);

/// Whether this process, or the system, has no file descriptors left.
bool HasNoDescriptorsLeft();

/// What to say of that: how many there may be, and how to get more.
absl::Status NoDescriptorsLeft(absl::string_view what);

}  // namespace tensorflow_tvm

#endif  // TENSORFLOW_TVM_CC_RUNTIME_SYSTEM_ERROR_H_
