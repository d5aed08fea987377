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

#ifndef TENSORFLOW_TVM_CC_RUNTIME_ELF_FILE_H_
#define TENSORFLOW_TVM_CC_RUNTIME_ELF_FILE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tensorflow_tvm {

/// A symbol that a shared library defines.
struct ElfSymbol {
  std::string name;
  uint64_t size = 0;
  std::optional<uint64_t> offset;  ///< of its bytes in the file, if all of them are there
  bool is_function = false;        ///< code, as its type or the segment it lies in says
  bool is_variable = false;        ///< data that stays writable
  bool is_weak = false;
};

/// What must be known of a shared library before the dynamic loader may see it.
///
/// dlopen() trusts the file: a truncated library ends in SIGBUS, and a library with a second copy
/// of libtvm_ffi in an abort. Parse() therefore reads the bytes with every offset checked.
class ElfFile {
 public:
  /// Parses the dynamic symbol table of `bytes`.
  ///
  /// InvalidArgument, with what is wrong in plain words, unless `bytes` is a whole shared library
  /// for the machine that this process runs on.
  static absl::StatusOr<ElfFile> Parse(absl::string_view bytes);

  /// Symbols that the library defines, in file order.
  const std::vector<ElfSymbol>& symbols() const { return symbols_; }

  /// Whether the library registers functions or types of its own with tvm-ffi, which keeps them.
  bool registers_globals() const { return registers_globals_; }

  /// Whether the library may ask tvm-ffi for tensors, itself or by a function of others. What is
  /// compiled from C++ may; what TVM generates does not, but by packed functions.
  bool may_allocate_tensors() const { return may_allocate_tensors_; }

  /// The symbol called `name` if the library defines it, else null.
  const ElfSymbol* Find(absl::string_view name) const;

 private:
  std::vector<ElfSymbol> symbols_;
  bool registers_globals_ = false;
  bool may_allocate_tensors_ = false;
};

}  // namespace tensorflow_tvm

#endif  // TENSORFLOW_TVM_CC_RUNTIME_ELF_FILE_H_
