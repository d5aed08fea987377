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

#include "tensorflow_tvm/cc/runtime/text.h"

#include <cstddef>
#include <cstdint>

#include "absl/strings/str_cat.h"

namespace tensorflow_tvm {
namespace {

/// The length of the UTF-8 character at the beginning of `text`, which is not empty; 0 if there is
/// none.
size_t CharacterSize(absl::string_view text) {
  const auto byte = [&text](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < size) return 0;
  uint32_t point = first & (0xff >> (size + 1));
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    point = point << 6 | (byte(i) & 0x3f);
  }
  // Longer than necessary, half of a pair of UTF-16, or more than Unicode has.
  if (size == 3 && point < 0x800) return 0;
  if (size == 4 && (point < 0x10000 || point > 0x10ffff)) return 0;
  return point >= 0xd800 && point <= 0xdfff ? 0 : size;
}

/// The size of the longest prefix of `text` that is UTF-8.
size_t Utf8Size(absl::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const size_t size = CharacterSize(text.substr(at));
    if (size == 0) break;
    at += size;
  }
  return at;
}

}  // namespace

bool IsUtf8(absl::string_view text) { return Utf8Size(text) == text.size(); }

std::string Printable(absl::string_view text) {
  std::string result;
  while (true) {
    const size_t size = Utf8Size(text);
    absl::StrAppend(&result, text.substr(0, size));
    if (size == text.size()) return result;
    absl::StrAppend(&result, "\\x",
                    absl::Hex(static_cast<unsigned char>(text[size]), absl::kZeroPad2));
    text.remove_prefix(size + 1);
  }
}

}  // namespace tensorflow_tvm
