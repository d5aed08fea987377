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

#include "tensorflow_tvm/cc/runtime/cpu_features.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_split.h"

namespace tensorflow_tvm {
namespace {

struct Feature {
  absl::string_view name;
  bool has;
};

}  // namespace

std::vector<std::string> MissingCpuFeatures(absl::string_view features) {
#define HAS(name) \
  { name, static_cast<bool>(__builtin_cpu_supports(name)) }
  // What LLVM may use in code that does not ask for it by name.
  static const Feature known[] = {
      HAS("sse3"),
      HAS("ssse3"),
      HAS("sse4.1"),
      HAS("sse4.2"),
      HAS("sse4a"),
      HAS("popcnt"),
      HAS("movbe"),
      HAS("avx"),
      HAS("avx2"),
      HAS("fma"),
      HAS("fma4"),
      HAS("xop"),
      HAS("f16c"),
      HAS("bmi"),
      HAS("bmi2"),
      HAS("lzcnt"),
      HAS("tbm"),
      HAS("gfni"),
      HAS("vaes"),
      HAS("vpclmulqdq"),
      HAS("avx512f"),
      HAS("avx512bw"),
      HAS("avx512cd"),
      HAS("avx512dq"),
      HAS("avx512vl"),
      HAS("avx512ifma"),
      HAS("avx512vbmi"),
      HAS("avx512vbmi2"),
      HAS("avx512vnni"),
      HAS("avx512bitalg"),
      HAS("avx512vpopcntdq"),
      HAS("avx512bf16"),
      HAS("avx512fp16"),
      HAS("avxvnni"),
      HAS("amx-tile"),
  };
#undef HAS
  std::vector<std::string> missing;
  for (absl::string_view name : absl::StrSplit(features, ',')) {
    const bool lacks = std::any_of(std::begin(known), std::end(known), [&](const Feature& feature) {
      return feature.name == name && !feature.has;
    });
    if (lacks) missing.emplace_back(name);
  }
  return missing;
}

}  // namespace tensorflow_tvm
