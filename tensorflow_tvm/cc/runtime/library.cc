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

#include "tensorflow_tvm/cc/runtime/library.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "tensorflow_tvm/cc/runtime/call_scope.h"
#include "tensorflow_tvm/cc/runtime/cpu_features.h"
#include "tensorflow_tvm/cc/runtime/elf_file.h"
#include "tensorflow_tvm/cc/runtime/sha256.h"
#include "tensorflow_tvm/cc/runtime/system_error.h"
#include "tensorflow_tvm/cc/runtime/text.h"
#include "tensorflow_tvm/cc/runtime/trust.h"
#include "tvm/ffi/c_api.h"
#include "tvm/ffi/error.h"

namespace tensorflow_tvm {
namespace {

namespace ffi = tvm::ffi;

constexpr absl::string_view kFfiSlotPrefix = "__TVMFFI";
constexpr absl::string_view kBackendSlotPrefix = "__TVMBackend";
constexpr char kBarrierSlot[] = "__TVMBackendParallelBarrier";
constexpr char kCpuFeatures[] = "__tensorflow_tvm__cpu_features";
constexpr char kCudaLibrary[] = "__tensorflow_tvm__library_cuda";
constexpr char kPackedCallSlot[] = "__TVMFFIEnvModLookupFromImports";
constexpr char kTvmRuntime[] = "libtvm_runtime.so";

/// The folder of the file that `address` was loaded from, with a slash at its end; "" unless its
/// path is absolute: a relative one may mean another folder by now.
std::string FolderOf(const void* address) {
  Dl_info info;
  if (dladdr(address, &info) == 0 || info.dli_fname == nullptr) return "";
  const absl::string_view path = info.dli_fname;
  if (!absl::StartsWith(path, "/")) return "";
  return std::string(path.substr(0, path.rfind('/') + 1));
}

std::string LastLoaderError() {
  const char* error = dlerror();
  return error == nullptr ? "unknown error of the dynamic loader" : error;
}

/// The TVM runtime, which only some libraries need: those that call packed functions, carry modules
/// of other devices, or synchronise inside parallel loops.
class TvmRuntime {
 public:
  static TvmRuntime* Global() {
    static TvmRuntime* runtime = new TvmRuntime();
    return runtime;
  }

  void SetFolder(const std::string& folder) {
    std::lock_guard<std::mutex> lock(mutex_);
    folder_ = folder;
  }

  void SetCudaFolder(const std::string& folder) {
    std::lock_guard<std::mutex> lock(mutex_);
    cuda_folder_ = folder;
  }

  /// Loads the runtime unless it is there. A failure is tried again next time.
  absl::Status EnsureLoaded() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (handle_ != nullptr) return absl::OkStatus();
    const std::string folder = FindFolder();
    const auto open = [&folder](const char* file) {
      return dlopen((folder + file).c_str(), RTLD_NOW | RTLD_GLOBAL);
    };
    void* handle = open(kTvmRuntime);
    if (handle == nullptr) {
      const std::string error = LastLoaderError();
      if (HasNoDescriptorsLeft()) return NoDescriptorsLeft("the TVM runtime cannot be loaded");
      return absl::FailedPreconditionError(absl::StrCat(
          "the TVM runtime (libtvm_runtime.so) is needed and cannot be loaded: ", error,
          ". Install it: pip install 'tensorflow_tvm[compiler]'. Without Python, put it beside the "
          "op library"));
    }
    open("libtvm_runtime_extra.so");  // contributed packed functions, such as sorting
    if (!cuda_folder_.empty()) {      // where it is there, the loader need not look for it
      dlopen(absl::StrCat(cuda_folder_, "/libcudart.so.13").c_str(), RTLD_NOW | RTLD_LOCAL);
    }
    open("libtvm_runtime_cuda.so");  // loads only where CUDA is
    handle_ = handle;
    return absl::OkStatus();
  }

  bool IsLoaded() {
    std::lock_guard<std::mutex> lock(mutex_);
    return handle_ != nullptr;
  }

  void* FindSymbol(const char* name) {
    std::lock_guard<std::mutex> lock(mutex_);
    return handle_ == nullptr ? nullptr : dlsym(handle_, name);
  }

 private:
  /// Where the runtime lies, with a slash at the end: where Python says; else beside this library,
  /// in the package tvm beside this one's, or beside libtvm_ffi; else "", which leaves it to the
  /// loader. With mutex_ held.
  std::string FindFolder() {
    if (!folder_.empty()) return absl::StrCat(folder_, "/");
    const std::string ours = FolderOf(reinterpret_cast<const void*>(&FolderOf));
    const std::string ffi = FolderOf(reinterpret_cast<const void*>(&TVMFFIFunctionCall));
    std::vector<std::string> folders;
    if (!ours.empty()) folders = {ours, absl::StrCat(ours, "../tvm/lib/")};
    if (!ffi.empty()) folders.push_back(ffi);
    for (const std::string& folder : folders) {
      if (access((folder + kTvmRuntime).c_str(), F_OK) == 0) return folder;
    }
    return "";
  }

  std::mutex mutex_;
  std::string folder_;       // guarded by mutex_
  std::string cuda_folder_;  // guarded by mutex_
  void* handle_ = nullptr;   // guarded by mutex_
};

bool UseTvmThreadPool() {
  const char* choice = std::getenv("TENSORFLOW_TVM_THREADPOOL");
  return choice != nullptr && std::strcmp(choice, "tvm") == 0;
}

/// What a symbol is called without tvm-ffi's prefix; "" if it has none or is reserved.
std::string FunctionName(const ElfSymbol& symbol) {
  absl::string_view name = symbol.name;
  if (!absl::ConsumePrefix(&name, ffi::symbol::tvm_ffi_symbol_prefix)) return "";
  for (absl::string_view reserved : {"_metadata_", "_doc_"}) {
    if (absl::StartsWith(name, reserved)) return "";
  }
  return std::string(name);
}

/// What a function of a library that returns metadata returns.
absl::StatusOr<std::string> CallMetadata(TVMFFISafeCallType call) {
  TVMFFIAny raw = {};
  raw.type_index = kTVMFFINone;
  try {
    // Not by tvm-ffi, which reads null where a function fails and does not say why.
    if (call(nullptr, nullptr, 0, &raw) != 0) {
      const ffi::ObjectPtr<ffi::Object> error = TakeRaisedError();
      if (error == nullptr || !error->IsInstance<ffi::ErrorObj>()) {
        return absl::InvalidArgumentError("its function failed without saying why");
      }
      const auto* details = static_cast<const ffi::ErrorObj*>(error.get());
      return absl::InvalidArgumentError(
          absl::string_view(details->message.data, details->message.size));
    }
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat("its function threw an exception: ", error.what()));
  } catch (...) {
    return absl::InvalidArgumentError("its function threw an exception");
  }
  const ffi::Any result = ffi::details::AnyUnsafe::MoveTVMFFIAnyToAny(&raw);
  const auto text = result.as<ffi::String>();
  if (!text.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("its function returned ", result.GetTypeKey(), "; expected a string"));
  }
  return std::string(*text);
}

/// Whether a symbol is called like the pointers that TVM leaves to be filled by the runtime.
bool HasSlotName(const ElfSymbol& symbol) {
  return absl::StartsWith(symbol.name, kFfiSlotPrefix) ||
         absl::StartsWith(symbol.name, kBackendSlotPrefix);
}

}  // namespace

void LibraryObj::HandleCloser::operator()(void* handle) const { dlclose(handle); }

absl::StatusOr<LibraryPtr> LibraryObj::Load(absl::string_view bytes, std::string digest,
                                            std::string name) {
  const auto refuse = [&name](const absl::Status& why) {
    return absl::Status(why.code(), absl::StrCat("Cannot load library '", name,
                                                 "': ", Printable(why.message()), "."));
  };
  absl::StatusOr<ElfFile> elf = ElfFile::Parse(bytes);
  if (!elf.ok()) return refuse(elf.status());

  auto library = ffi::make_object<LibraryObj>();
  std::vector<std::string> slots;
  for (const ElfSymbol& symbol : elf->symbols()) {
    if (HasSlotName(symbol)) {
      if (!symbol.is_variable || symbol.size != sizeof(void*)) {  // tvm-ffi would write to it
        return refuse(absl::InvalidArgumentError(
            absl::StrCat("its symbol ", symbol.name, " is no pointer that can be written")));
      }
      slots.push_back(symbol.name);
    }
    if (absl::StartsWith(symbol.name, ffi::symbol::tvm_ffi_metadata_prefix)) {
      library->metadata_[symbol.name] = symbol.is_function;
    }
    std::string function = FunctionName(symbol);
    if (function.empty() || !IsUtf8(function)) continue;  // Python could not name it
    // A weak main is TVM's alias of another function, in a Relax library of a mere part of main.
    const bool is_alias = function == "main" && symbol.is_weak;
    std::vector<std::string>& names =
        symbol.is_function && !is_alias ? library->functions_ : library->other_symbols_;
    names.push_back(std::move(function));
  }
  std::sort(library->functions_.begin(), library->functions_.end());
  if (elf->Find("TVMFFIFunctionCall") != nullptr) {
    return refuse(absl::InvalidArgumentError(
        "it carries a copy of libtvm_ffi, and two copies cannot live in one process; link it "
        "against libtvm_ffi.so instead (or, if this is libtvm_ffi itself, give a library that TVM "
        "exported)"));
  }
  const bool has_imports = elf->Find(ffi::symbol::tvm_ffi_library_bin) != nullptr;
  if (library->functions_.empty() && !has_imports) {
    return refuse(absl::InvalidArgumentError(
        "it exports no TVM function (no symbol starts with __tvm_ffi_); export it with TVM's "
        "export_library() or tvm-ffi's TVM_FFI_DLL_EXPORT_TYPED_FUNC"));
  }

  if (const ElfSymbol* symbol = elf->Find(kCpuFeatures); symbol != nullptr && symbol->offset && symbol->size > 0) {
    const std::vector<std::string> missing =
        MissingCpuFeatures(bytes.substr(*symbol->offset, symbol->size - 1));  // without the NUL
    if (!missing.empty()) {
      return refuse(absl::FailedPreconditionError(absl::StrCat(
          "it was compiled for processors that have ", absl::StrJoin(missing, ", "),
          ", which this one has not; compile it with target=\"llvm\" for any of the family, or "
          "with target=\"host\" on a machine of this kind")));
    }
  }
  if (absl::Status s = PromoteTvmFfi(); !s.ok()) return refuse(s);
  // Packed functions may come from the TVM runtime or from anywhere else, so its absence is no
  // error here; modules of other devices and barriers cannot do without it.
  const bool own_pool_impossible = elf->Find(kBarrierSlot) != nullptr || UseTvmThreadPool();
  if (has_imports || own_pool_impossible || elf->Find(kPackedCallSlot) != nullptr) {
    absl::Status s = TvmRuntime::Global()->EnsureLoaded();
    if (!s.ok() && (has_imports || own_pool_impossible)) return refuse(s);
  }

  absl::StatusOr<std::unique_ptr<Snapshot>> snapshot =
      Snapshot::Create(bytes, absl::StripPrefix(digest, "sha256:"));
  if (!snapshot.ok()) return refuse(snapshot.status());
  const std::string& path = (*snapshot)->path();
  // RTLD_NOW: a symbol that is missing is an error now and not the end of the process later.
  library->handle_.reset(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL));
  if (library->handle_ == nullptr) {
    std::string error = LastLoaderError();
    if (absl::StrContains(error, "undefined symbol") && TvmRuntime::Global()->EnsureLoaded().ok()) {
      library->handle_.reset(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL));
      if (library->handle_ == nullptr) error = LastLoaderError();
    }
    if (library->handle_ == nullptr) {
      if (HasNoDescriptorsLeft()) return refuse(NoDescriptorsLeft("it cannot be loaded"));
      const bool lacks_dependency = absl::StrContains(error, "cannot open shared object file");
      return refuse(absl::InvalidArgumentError(absl::StrCat(
          "the dynamic loader says: ", absl::StripPrefix(error, path + ": "),
          lacks_dependency ? ". What a library depends on is not looked for beside it: link it "
                             "with an absolute -rpath, or set LD_LIBRARY_PATH"
                           : "")));
    }
  }
  try {
    library->module_ = ffi::Module::LoadFromFile(path);
  } catch (const ffi::Error& error) {
    if (HasNoDescriptorsLeft()) return refuse(NoDescriptorsLeft("it cannot be loaded"));
    const bool lacks_device = absl::StrContains(error.message(), "is not registered");
    return refuse(absl::InvalidArgumentError(absl::StrCat(
        "tvm-ffi says: ", error.message(),
        lacks_device ? " The TVM runtime of the device that it was compiled for cannot be loaded "
                       "here: compile it for another target, or install that device's driver"
                     : "")));
  } catch (const std::exception& error) {
    return refuse(absl::InvalidArgumentError(absl::StrCat("tvm-ffi says: ", error.what())));
  }
  (*snapshot)->RemovePath();
  library->snapshot_ = *std::move(snapshot);
  if (const ElfSymbol* carried = elf->Find(kCudaLibrary); carried != nullptr && carried->offset) {
    library->cuda_bytes_ = library->bytes().substr(*carried->offset, carried->size);
  }
  if (absl::Status s = library->FillSlots(slots); !s.ok()) return refuse(s);
  library->may_allocate_tensors_ = elf->may_allocate_tensors() || has_imports ||
                                   elf->Find(kPackedCallSlot) != nullptr;
  library->digest_ = std::move(digest);
  library->name_ = std::move(name);
  // tvm-ffi keeps what a library registers, so the code must stay: this reference is never dropped.
  if (elf->registers_globals()) new LibraryPtr(library);
  return library;
}

absl::Status LibraryObj::FillSlots(const std::vector<std::string>& slots) {
  const bool keep_tvm_pool =
      UseTvmThreadPool() || std::find(slots.begin(), slots.end(), kBarrierSlot) != slots.end();
  for (const std::string& slot : slots) {
    void** address = static_cast<void**>(dlsym(handle_.get(), slot.c_str()));
    if (address == nullptr) continue;
    const char* function = slot.c_str() + 2;  // without the underscores
    if (void* ours = keep_tvm_pool ? nullptr : FindBackendFunction(function)) *address = ours;
    if (*address == nullptr && absl::StartsWith(slot, kFfiSlotPrefix)) {
      *address = dlsym(RTLD_DEFAULT, function);
    }
    if (*address == nullptr) {
      if (absl::Status s = TvmRuntime::Global()->EnsureLoaded(); !s.ok()) return s;
      *address = TvmRuntime::Global()->FindSymbol(function);
    }
    if (*address == nullptr) {
      return absl::FailedPreconditionError(
          absl::StrCat("it needs ", function,
                       ", which neither tvm-ffi nor the TVM runtime has; install the apache-tvm "
                       "version that built it"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<LibraryPtr> LibraryObj::CudaLibrary() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (cuda_ == nullptr) {
    absl::StatusOr<LibraryPtr> loaded =
        Load(cuda_bytes_, Sha256Digest(cuda_bytes_), absl::StrCat(name_, ", part for CUDA"));
    if (!loaded.ok()) return loaded;
    cuda_ = *std::move(loaded);
  }
  return cuda_;
}

absl::StatusOr<LibraryFunction> LibraryObj::GetFunction(const std::string& name,
                                                        DLDeviceType device) {
  if (device == kDLCUDA && !cuda_bytes_.empty()) {
    absl::StatusOr<LibraryPtr> library = CudaLibrary();
    if (!library.ok()) {
      return absl::Status(library.status().code(),
                          absl::StrCat("cannot run on GPUs: ", library.status().message()));
    }
    return (*library)->GetFunction(name);
  }
  const absl::Status not_found = absl::NotFoundError(
      absl::StrCat("has no function '", absl::CHexEscape(name),
                   "'. It has: ", functions_.empty() ? "none" : absl::StrJoin(functions_, ", ")));
  // tvm-ffi would take any symbol with this name for a function, and the name to end at a NUL.
  if (absl::StrContains(name, '\0') ||
      std::find(other_symbols_.begin(), other_symbols_.end(), name) != other_symbols_.end()) {
    return not_found;
  }
  if (std::binary_search(functions_.begin(), functions_.end(), name)) {
    const std::string symbol = absl::StrCat(ffi::symbol::tvm_ffi_symbol_prefix, name);
    void* address = dlsym(handle_.get(), symbol.c_str());
    if (address == nullptr) return not_found;
    return LibraryFunction{reinterpret_cast<TVMFFISafeCallType>(address), nullptr,
                           may_allocate_tensors_};
  }
  std::lock_guard<std::mutex> lock(mutex_);
  auto it = imported_.find(name);
  if (it == imported_.end()) {
    try {
      ffi::Optional<ffi::Function> function = (*module_)->GetFunction(name, /*query_imports=*/true);
      if (function.has_value()) it = imported_.emplace(name, *std::move(function)).first;
    } catch (const std::exception& error) {
      return absl::InternalError(absl::StrCat("failed to give function '", absl::CHexEscape(name),
                                              "': ", Printable(error.what())));
    }
  }
  if (it == imported_.end()) return not_found;
  const auto* function = static_cast<const ffi::FunctionObj*>(it->second.get());
  return LibraryFunction{function->safe_call, const_cast<ffi::FunctionObj*>(function)};
}

absl::StatusOr<std::string> LibraryObj::GetMetadata(const std::string& name) {
  const auto refuse = [&name](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("cannot give the metadata of function '",
                                                   absl::CHexEscape(name), "': ", Printable(why)));
  };
  absl::StatusOr<std::string> metadata = "";
  const std::string symbol = absl::StrCat(ffi::symbol::tvm_ffi_metadata_prefix, name);
  if (auto it = metadata_.find(symbol); it != metadata_.end()) {
    void* const address = it->second ? dlsym(handle_.get(), symbol.c_str()) : nullptr;
    if (address == nullptr) return refuse("its symbol is not a function");
    metadata = CallMetadata(reinterpret_cast<TVMFFISafeCallType>(address));
  } else {
    try {
      ffi::Optional<ffi::String> imported =
          (*module_)->GetFunctionMetadata(name, /*query_imports=*/true);
      if (imported.has_value()) metadata = std::string(*imported);
    } catch (const std::exception& error) {
      return refuse(error.what());
    }
  }
  if (!metadata.ok()) return refuse(metadata.status().message());
  if (!IsUtf8(*metadata)) return refuse("it is not UTF-8");
  return metadata;
}

LibraryRegistry* LibraryRegistry::Global() {
  static LibraryRegistry* registry = new LibraryRegistry();
  return registry;
}

absl::StatusOr<LibraryPtr> LibraryRegistry::Load(absl::string_view bytes, const std::string& name,
                                                 absl::string_view expected_digest,
                                                 absl::string_view file) {
  std::string digest = Sha256Digest(bytes);
  if (!expected_digest.empty() && digest != expected_digest) {
    return absl::InvalidArgumentError(absl::StrCat(
        "Cannot load library '", name, "': its content has been changed or damaged: expected ",
        expected_digest, ", given ", digest, ". Get the library or model again from its source."));
  }
  std::lock_guard<std::mutex> lock(mutex_);
  if (LibraryPtr library = FindLocked(digest)) return library;
  if (absl::Status s = CheckTrust(digest, file); !s.ok()) {
    return absl::Status(s.code(),
                        absl::StrCat("Cannot load library '", name, "': ", s.message(), "."));
  }
  absl::erase_if(libraries_, [](const auto& entry) { return entry.second.expired(); });
  absl::StatusOr<LibraryPtr> library = LibraryObj::Load(bytes, digest, name);
  if (library.ok()) libraries_[digest] = WeakLibraryPtr(*library);
  return library;
}

LibraryPtr LibraryRegistry::Find(absl::string_view digest) {
  std::lock_guard<std::mutex> lock(mutex_);
  return FindLocked(digest);
}

LibraryPtr LibraryRegistry::FindLocked(absl::string_view digest) {
  auto it = libraries_.find(digest);
  return it == libraries_.end() ? nullptr : it->second.lock();
}

int LibraryRegistry::size() {
  std::lock_guard<std::mutex> lock(mutex_);
  return std::count_if(libraries_.begin(), libraries_.end(),
                       [](const auto& entry) { return !entry.second.expired(); });
}

void SetTvmRuntimeFolder(const std::string& folder) { TvmRuntime::Global()->SetFolder(folder); }

absl::Status EnsureTvmRuntime() { return TvmRuntime::Global()->EnsureLoaded(); }

void SetCudaFolder(const std::string& folder) { TvmRuntime::Global()->SetCudaFolder(folder); }

bool IsTvmRuntimeLoaded() { return TvmRuntime::Global()->IsLoaded(); }

absl::Status PromoteTvmFfi() {
  // The copy that this library is bound to, whatever it is called.
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(&TVMFFIFunctionCall), &info) == 0 ||
      dlopen(info.dli_fname, RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD) == nullptr) {
    return absl::InternalError(
        absl::StrCat("cannot make libtvm_ffi visible to TVM libraries: ", LastLoaderError()));
  }
  return absl::OkStatus();
}

}  // namespace tensorflow_tvm
