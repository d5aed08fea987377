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

#include <string>

#include "absl/log/check.h"

namespace tensorflow_tvm {
namespace {

void TestUtf8() {
  for (const char* text :
       {"", "a", "é", "\u0800", "\ue000", "\uffff", "\U00010000", "\U0010ffff", "aé\U0001f600z"}) {
    CHECK(IsUtf8(text)) << text;
    CHECK_EQ(Printable(text), text);
  }
  CHECK(IsUtf8(absl::string_view("a\0b", 3)));
}

void TestWhatIsNotUtf8() {
  struct {
    const char* text;
    const char* printable;
  } const cases[] = {
      {"\xff", "\\xff"},
      {"a\x80z", "a\\x80z"},  // a continuation without a beginning
      {"\xc3", "\\xc3"},      // a beginning without its continuation
      {"\xc3z", "\\xc3z"},
      {"\xe2\x82", "\\xe2\\x82"},
      {"\xf0\x9f\x98z", "\\xf0\\x9f\\x98z"},
      {"\xc0\x80", "\\xc0\\x80"},  // longer than necessary
      {"\xe0\x9f\xbf", "\\xe0\\x9f\\xbf"},
      {"\xf0\x8f\xbf\xbf", "\\xf0\\x8f\\xbf\\xbf"},
      {"\xed\xa0\x80", "\\xed\\xa0\\x80"},           // half of a pair
      {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},  // more than Unicode has
      {"é\xfeé", "é\\xfeé"},
  };
  for (const auto& test : cases) {
    CHECK(!IsUtf8(test.text)) << test.printable;
    CHECK_EQ(Printable(test.text), test.printable);
  }
}

}  // namespace
}  // namespace tensorflow_tvm

int main() {
  tensorflow_tvm::TestUtf8();
  tensorflow_tvm::TestWhatIsNotUtf8();
  return 0;
}
