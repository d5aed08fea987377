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

#ifndef TENSORFLOW_TVM_CC_RUNTIME_PRIVATE_FOLDER_H_
#define TENSORFLOW_TVM_CC_RUNTIME_PRIVATE_FOLDER_H_

#include <sys/types.h>

#include <initializer_list>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace tensorflow_tvm {

/// A temporary folder that only this user can enter, with a name that nobody can foresee. It goes
/// with this object and, if the process is killed, when the next one starts.
///
/// Who has made such a folder holds a lock on it (flock) for as long as it is there. So a process
/// knows what others have left behind, whatever their numbers: containers that share a temporary
/// folder number processes each for itself. A lock is held by forked children too, and by no
/// program that is started.
class PrivateFolder {
 public:
  /// Makes one where TMPDIR says, else in one of `parents`, which is of "/tmp" and "/dev/shm".
  static absl::StatusOr<std::unique_ptr<PrivateFolder>> Make(
      std::initializer_list<const char*> parents);

  ~PrivateFolder() { Remove(); }
  PrivateFolder(const PrivateFolder&) = delete;
  PrivateFolder& operator=(const PrivateFolder&) = delete;

  const std::string& path() const { return path_; }

  /// Removes the folder with all that is in it. A forked child leaves it to its parent.
  void Remove();

 private:
  PrivateFolder(std::string path, int lock);

  std::string path_;
  int lock_;  ///< the opened folder; -1 when it has been removed
  pid_t owner_;
};

/// Removes the private folders of processes that were killed, where TMPDIR says and in /tmp and
/// /dev/shm: this user's only, and only if nobody holds their lock. It does so once a process.
/// PrivateFolder::Make does it too.
void RemoveLeftFolders();

/// What names of private folders begin with; six characters follow.
extern const char kPrivateFolderPrefix[];

}  // namespace tensorflow_tvm

#endif  // TENSORFLOW_TVM_CC_RUNTIME_PRIVATE_FOLDER_H_
