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

#ifndef TENSORFLOW_TVM_CC_RUNTIME_SNAPSHOT_H_
#define TENSORFLOW_TVM_CC_RUNTIME_SNAPSHOT_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tensorflow_tvm/cc/runtime/private_folder.h"

namespace tensorflow_tvm {

/// A private, immutable copy of a library's bytes, and a path at which the dynamic loader finds it.
///
/// The copy is a sealed memory file, so that a library which is truncated or replaced on disk while
/// it is loaded cannot take the process down. Where the kernel has no memory files it is a file
/// that only this user can reach.
class Snapshot {
 public:
  /// Copies `bytes`. `stem` becomes part of the file's name, which ends in ".so".
  static absl::StatusOr<std::unique_ptr<Snapshot>> Create(absl::string_view bytes,
                                                          absl::string_view stem);
  ~Snapshot();

  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

  /// Where dlopen() finds the copy until RemovePath(). Never used twice in a process.
  const std::string& path() const { return path_; }

  /// Removes the path; the copy stays.
  void RemovePath();

  /// The copy, valid as long as this object.
  absl::string_view bytes() const { return {static_cast<const char*>(mapping_), size_}; }

 private:
  Snapshot() = default;

  std::unique_ptr<PrivateFolder> folder_;
  std::string path_;
  int fd_ = -1;
  void* mapping_ = nullptr;
  size_t size_ = 0;
};

}  // namespace tensorflow_tvm

#endif  // TENSORFLOW_TVM_CC_RUNTIME_SNAPSHOT_H_
