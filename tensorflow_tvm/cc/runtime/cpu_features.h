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

#ifndef TENSORFLOW_TVM_CC_RUNTIME_CPU_FEATURES_H_
#define TENSORFLOW_TVM_CC_RUNTIME_CPU_FEATURES_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace tensorflow_tvm {

/// Those of `features`, LLVM's names separated by commas, that this processor has not, or its
/// operating system does not allow. Names that are not known here are passed over: most of LLVM's
/// are about what is fast.
std::vector<std::string> MissingCpuFeatures(absl::string_view features);

}  // namespace tensorflow_tvm

#endif  // TENSORFLOW_TVM_CC_RUNTIME_CPU_FEATURES_H_
