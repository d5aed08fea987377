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

#ifndef TENSORFLOW_TVM_CC_RUNTIME_LIBRARY_H_
#define TENSORFLOW_TVM_CC_RUNTIME_LIBRARY_H_

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tensorflow_tvm/cc/runtime/snapshot.h"
#include "tvm/ffi/extra/module.h"
#include "tvm/ffi/function.h"
#include "tvm/ffi/object.h"

namespace tensorflow_tvm {

/// A function of a loaded library, to be called by tvm-ffi's C convention. Valid while the library
/// is.
struct LibraryFunction {
  TVMFFISafeCallType call = nullptr;
  void* self = nullptr;
  bool may_allocate_tensors = true;  ///< by tvm-ffi's environment, which then has to be set
};

/// A TVM library loaded into this process. Its identity is the digest of its bytes.
class LibraryObj : public tvm::ffi::Object {
 public:
  /// Use LibraryRegistry::Load. `name` is what messages call the library.
  static absl::StatusOr<tvm::ffi::ObjectPtr<LibraryObj>> Load(absl::string_view bytes,
                                                              std::string digest, std::string name);

  const std::string& digest() const { return digest_; }
  const std::string& name() const { return name_; }
  absl::string_view bytes() const { return snapshot_->bytes(); }

  /// Names of the functions that the library exports, sorted.
  const std::vector<std::string>& functions() const { return functions_; }

  /// The function called `name`, also of an imported module, for devices of type `device`: a
  /// library for processors may carry another for CUDA. NotFound says which functions there are.
  /// Messages are to follow the name by which the caller knows the library.
  absl::StatusOr<LibraryFunction> GetFunction(const std::string& name,
                                              DLDeviceType device = kDLCPU);

  /// What the library says of function `name`, by tvm-ffi's convention: JSON, or "" if nothing.
  absl::StatusOr<std::string> GetMetadata(const std::string& name);

  static constexpr bool _type_mutable = true;
  TVM_FFI_DECLARE_OBJECT_INFO_FINAL("tensorflow_tvm.Library", LibraryObj, tvm::ffi::Object);

 private:
  /// Closes a handle of dlopen().
  struct HandleCloser {
    void operator()(void* handle) const;
  };
  using Handle = std::unique_ptr<void, HandleCloser>;

  /// The library for CUDA that this one carries, loaded when it is first asked for: where it never
  /// is, there need be no CUDA.
  absl::StatusOr<tvm::ffi::ObjectPtr<LibraryObj>> CudaLibrary();

  /// Fills the pointers to runtime functions that TVM leaves in a library.
  absl::Status FillSlots(const std::vector<std::string>& slots);

  std::string digest_;
  std::string name_;
  std::vector<std::string> functions_;
  std::vector<std::string> other_symbols_;  ///< named like functions; not to be called
  std::map<std::string, bool> metadata_;    ///< symbols with metadata; whether each is a function
  // Destroyed in reverse order: what was got from the library goes before the library does.
  std::unique_ptr<Snapshot> snapshot_;
  Handle handle_;
  tvm::ffi::Optional<tvm::ffi::Module> module_;
  std::mutex mutex_;
  std::map<std::string, tvm::ffi::Function> imported_;  // guarded by mutex_
  bool may_allocate_tensors_ = true;
  absl::string_view cuda_bytes_;                        ///< of snapshot_; empty if there are none
  tvm::ffi::ObjectPtr<LibraryObj> cuda_;                // guarded by mutex_
};

using LibraryPtr = tvm::ffi::ObjectPtr<LibraryObj>;
using WeakLibraryPtr = tvm::ffi::WeakObjectPtr<LibraryObj>;

/// The libraries loaded into this process, by digest. It owns none: a library is unloaded when its
/// last owner (a Python module, a kernel with the library's bytes) and its last call are gone.
class LibraryRegistry {
 public:
  static LibraryRegistry* Global();

  /// The library whose bytes these are, loaded if it is not yet and CheckTrust allows it. A failure
  /// is not remembered. Bytes that have not the digest `expected_digest`, if that is not empty, are
  /// refused. `file` is where they were read from, as CheckTrust takes it.
  absl::StatusOr<LibraryPtr> Load(absl::string_view bytes, const std::string& name,
                                  absl::string_view expected_digest = "",
                                  absl::string_view file = "");

  /// The loaded library with that digest, or null.
  LibraryPtr Find(absl::string_view digest);

  /// How many libraries are loaded now.
  int size();

 private:
  /// With mutex_ held.
  LibraryPtr FindLocked(absl::string_view digest);

  std::mutex mutex_;
  absl::flat_hash_map<std::string, WeakLibraryPtr> libraries_;  // guarded by mutex_
};

/// Says in which folder libtvm_runtime and its companions lie. Without it, they are looked for
/// beside this library, in the package tvm beside this one's, beside libtvm_ffi, and where the
/// loader looks.
void SetTvmRuntimeFolder(const std::string& folder);

/// Says in which folder the CUDA runtime that the TVM runtime needs lies, if the loader does not
/// find it by itself.
void SetCudaFolder(const std::string& folder);

/// Loads libtvm_runtime unless it is loaded; FailedPrecondition if it is not installed.
absl::Status EnsureTvmRuntime();

/// Whether libtvm_runtime is loaded.
bool IsTvmRuntimeLoaded();

/// Makes libtvm_ffi's symbols visible to libraries loaded from now on.
///
/// Exported libraries name no dependencies and bind lazily: with libtvm_ffi loaded privately, as
/// TensorFlow loads op libraries and what they need, the first error inside a TVM function would
/// end the process.
absl::Status PromoteTvmFfi();

}  // namespace tensorflow_tvm

#endif  // TENSORFLOW_TVM_CC_RUNTIME_LIBRARY_H_
