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

#ifndef TENSORFLOW_TVM_CC_RUNTIME_TRUST_H_
#define TENSORFLOW_TVM_CC_RUNTIME_TRUST_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace tensorflow_tvm {

/// Whether a library may be loaded, by what the process's environment says, as loading it runs its
/// code:
///
/// - TENSORFLOW_TVM_TRUSTED_DIGESTS, a list or the path of a file: only libraries with these digests
///   may.
/// - TENSORFLOW_TVM_LIBRARY_ROOTS, folders separated by colons: of files only those in them may, and
///   of bytes that were read from no file only those whose digest is in the list above.
///
/// A variable that is set, but empty, allows nothing. `digest` is "sha256:" and 64 digits; `file` is
/// the file that the bytes were read from, without links in its path, and "" where there is none.
absl::Status CheckTrust(absl::string_view digest, absl::string_view file);

}  // namespace tensorflow_tvm

#endif  // TENSORFLOW_TVM_CC_RUNTIME_TRUST_H_
