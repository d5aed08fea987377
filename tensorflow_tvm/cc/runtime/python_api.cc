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

// What the Python package asks of the runtime, as tvm-ffi global functions.

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "tensorflow_tvm/cc/runtime/cpu_features.h"
#include "tensorflow_tvm/cc/runtime/library.h"
#include "tensorflow_tvm/cc/runtime/private_folder.h"
#include "tensorflow_tvm/cc/runtime/signature.h"
#include "tensorflow_tvm/cc/runtime/stats.h"
#include "tvm/ffi/container/array.h"
#include "tvm/ffi/container/map.h"
#include "tvm/ffi/reflection/registry.h"
#include "tvm/ffi/string.h"

namespace tensorflow_tvm {
namespace {

namespace ffi = tvm::ffi;

class Library : public ffi::ObjectRef {
 public:
  explicit Library(LibraryPtr library) : ObjectRef(std::move(library)) {}
  TVM_FFI_DEFINE_OBJECT_REF_METHODS_NOTNULLABLE(Library, ffi::ObjectRef, LibraryObj);
};

/// A PrivateFolder that Python holds.
class FolderObj : public ffi::Object {
 public:
  explicit FolderObj(std::unique_ptr<PrivateFolder> folder) : folder(std::move(folder)) {}

  std::unique_ptr<PrivateFolder> folder;

  static constexpr bool _type_mutable = true;
  TVM_FFI_DECLARE_OBJECT_INFO_FINAL("tensorflow_tvm.Folder", FolderObj, ffi::Object);
};

class Folder : public ffi::ObjectRef {
 public:
  explicit Folder(ffi::ObjectPtr<FolderObj> folder) : ObjectRef(std::move(folder)) {}
  TVM_FFI_DEFINE_OBJECT_REF_METHODS_NOTNULLABLE(Folder, ffi::ObjectRef, FolderObj);
};

/// Errors cross to Python as (code, message): tf.errors has a class for each code.
ffi::Array<ffi::Any> Result(const absl::Status& status, ffi::Any value) {
  return {static_cast<int>(status.code()), ffi::String(std::string(status.message())),
          std::move(value)};
}

ffi::Array<ffi::Any> LoadLibrary(const ffi::Bytes& bytes, const ffi::String& name,
                                 const ffi::String& expected_digest, const ffi::String& file) {
  absl::StatusOr<LibraryPtr> library = LibraryRegistry::Global()->Load(
      absl::string_view(bytes.data(), bytes.size()), name,
      absl::string_view(expected_digest.data(), expected_digest.size()),
      absl::string_view(file.data(), file.size()));
  if (!library.ok()) return Result(library.status(), nullptr);
  return Result(absl::OkStatus(), Library(*std::move(library)));
}

/// Makes a private folder, for files rather than links: on a disk.
ffi::Array<ffi::Any> MakeFolder() {
  absl::StatusOr<std::unique_ptr<PrivateFolder>> folder = PrivateFolder::Make({"/tmp"});
  if (!folder.ok()) return Result(folder.status(), nullptr);
  return Result(absl::OkStatus(), Folder(ffi::make_object<FolderObj>(*std::move(folder))));
}

ffi::Array<ffi::Any> CheckFunction(const Library& library, const ffi::String& name) {
  return Result(const_cast<LibraryObj*>(library.get())->GetFunction(name).status(), nullptr);
}

ffi::Array<ffi::String> Functions(const Library& library) {
  ffi::Array<ffi::String> names;
  for (const std::string& name : library->functions()) names.push_back(name);
  return names;
}

/// What the library says of function `name` of its own accord: JSON, or null.
ffi::Array<ffi::Any> Metadata(const Library& library, const ffi::String& name) {
  absl::StatusOr<std::string> metadata = const_cast<LibraryObj*>(library.get())->GetMetadata(name);
  if (!metadata.ok()) return Result(metadata.status(), nullptr);
  return Result(absl::OkStatus(), ffi::String(*metadata));
}

/// The value of a dimension such as "2*n+1", for tests: tensorflow_tvm/signature.py has an
/// evaluation of its own.
ffi::Array<ffi::Any> EvaluateDimension(const ffi::String& text,
                                       const ffi::Map<ffi::String, int64_t>& values) {
  std::vector<std::string> symbols;
  absl::StatusOr<Dimension> dimension = ParseDimension(std::string(text), &symbols);
  if (!dimension.ok()) return Result(dimension.status(), nullptr);
  absl::StatusOr<std::optional<int64_t>> size =
      dimension->Evaluate([&](int64_t symbol) { return values.at(ffi::String(symbols[symbol])); });
  if (!size.ok()) return Result(size.status(), nullptr);
  return Result(absl::OkStatus(), size->value_or(-1));
}

ffi::Map<ffi::String, int64_t> GetStats() {
  const Stats& stats = Stats::Global();
  return {{"alignment_copies", stats.alignment_copies.load()},
          {"alignment_copied_bytes", stats.alignment_copied_bytes.load()},
          {"output_copies", stats.output_copies.load()},
          {"output_copied_bytes", stats.output_copied_bytes.load()},
          {"libraries", LibraryRegistry::Global()->size()}};
}

TVM_FFI_STATIC_INIT_BLOCK() {
  namespace refl = ffi::reflection;
  // A second copy of this library in the process works with the first one's.
  if (ffi::Function::GetGlobal("tensorflow_tvm.load_library").has_value()) return;
  refl::ObjectDef<LibraryObj>();
  refl::ObjectDef<FolderObj>();
  refl::GlobalDef()
      .def("tensorflow_tvm.load_library", LoadLibrary)
      .def("tensorflow_tvm.make_folder", MakeFolder)
      .def("tensorflow_tvm.folder_path",
           [](const Folder& folder) { return ffi::String(folder->folder->path()); })
      .def("tensorflow_tvm.remove_folder",
           [](const Folder& folder) { const_cast<FolderObj*>(folder.get())->folder->Remove(); })
      .def("tensorflow_tvm.remove_left_folders", RemoveLeftFolders)
      .def("tensorflow_tvm.check_function", CheckFunction)
      .def("tensorflow_tvm.functions", Functions)
      .def("tensorflow_tvm.digest",
           [](const Library& library) { return ffi::String(library->digest()); })
      .def("tensorflow_tvm.bytes",
           [](const Library& library) {
             return ffi::Bytes(library->bytes().data(), library->bytes().size());
           })
      .def("tensorflow_tvm.metadata", Metadata)
      .def("tensorflow_tvm.check_signature",
           [](const ffi::String& text) {
             return Result(Signature::Parse(std::string(text)).status(), nullptr);
           })
      .def("tensorflow_tvm.evaluate_dimension", EvaluateDimension)
      .def("tensorflow_tvm.missing_cpu_features",
           [](const ffi::String& features) {
             ffi::Array<ffi::String> missing;
             for (const std::string& name :
                  MissingCpuFeatures(absl::string_view(features.data(), features.size()))) {
               missing.push_back(name);
             }
             return missing;
           })
      .def("tensorflow_tvm.stats", GetStats)
      .def("tensorflow_tvm.set_tvm_runtime_folder",
           [](const ffi::String& folder) { SetTvmRuntimeFolder(folder); })
      .def("tensorflow_tvm.set_cuda_folder",
           [](const ffi::String& folder) { SetCudaFolder(folder); });
}

}  // namespace
}  // namespace tensorflow_tvm
