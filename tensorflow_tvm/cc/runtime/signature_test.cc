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

#include "tensorflow_tvm/cc/runtime/signature.h"

#include <limits>

#include "absl/log/check.h"
#include "absl/strings/match.h"

namespace tensorflow_tvm {
namespace {

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

void TestParse() {
  absl::StatusOr<Signature> signature = Signature::Parse(
      "(x: float32[n, 2*d, 3, ?], k: list[int], w: any[...], d:int8 [ d ]) -> (y: bool[], z: "
      "uint16[n])");
  CHECK_OK(signature);
  CHECK_EQ(signature->inputs().size(), 3u);
  CHECK_EQ(signature->outputs().size(), 2u);
  CHECK((signature->symbols() == std::vector<std::string>{"n", "d"}));

  const TensorSpec& x = signature->inputs()[0];
  CHECK_EQ(x.name, "x");
  CHECK_EQ(x.text, "x: float32[n, 2*d, 3, ?]");
  CHECK(x.dtype.code == kDLFloat && x.dtype.bits == 32 && x.dtype.lanes == 1 && !x.any_dtype);
  CHECK(!x.any_shape);
  CHECK(x.dims[0].kind == Dimension::Kind::kSymbol);
  CHECK(x.dims[1].kind == Dimension::Kind::kExpression);
  CHECK_EQ(x.dims[1].text, "2*d");
  CHECK(x.dims[2].kind == Dimension::Kind::kInteger);
  CHECK_EQ(x.dims[2].value, 3);
  CHECK(x.dims[3].kind == Dimension::Kind::kUnknown);

  CHECK(signature->inputs()[1].any_dtype && signature->inputs()[1].any_shape);
  CHECK_EQ(signature->inputs()[2].name, "d");
  CHECK(signature->outputs()[0].dims.empty() && !signature->outputs()[0].any_shape);
}

void TestOptionalInputs() {
  absl::StatusOr<Signature> signature =
      Signature::Parse("(b: float32[n]?, c: any[...] ?, d: any[?] , k: int) -> (y: any[n])");
  CHECK_OK(signature);
  CHECK_EQ(signature->inputs().size(), 3u);
  CHECK_EQ(signature->inputs()[0].text, "b: float32[n]?");
  CHECK_EQ(signature->inputs()[1].text, "c: any[...] ?");
  CHECK_EQ(signature->inputs()[2].text, "d: any[?]");
}

void TestParseErrors() {
  struct {
    const char* text;
    const char* expected;
  } const cases[] = {
      {"", "at character 1: expected '('"},
      {"(x: float32[n]", "at character 15: expected ','"},
      {"(x: float[n]) -> ()", "at character 5: unknown dtype 'float'"},
      {"(x: any[n], x: any[n]) -> ()", "at character 13: two arguments are called 'x'"},
      {"(x: any[n]) -> (y: any[m])", "at character 24: symbol 'm' is no dimension"},
      {"(x: any[n]) -> (y: any[1-2])", "at character 24: a dimension cannot be negative"},
      {"(x: any[n]) -> (y: any[1//0])", "at character 24: divides by zero"},
      {"(x: any[9223372036854775808]) -> ()", "does not fit in 64 bits"},
      {"(x: any[min(1)]) -> ()", "a second value"},
      {"(x: any[]) -> (k: int)", "unknown dtype 'int'"},
      {"(x: any[]) -> () ()", "expected the end"},
      {"(x: any[]) -> (y: any[]?)", "at character 24: an output cannot be optional"},
      {"(x: any[]? ?) -> ()", "at character 12: expected ','"},
      {"(x: any[], k: int?) -> ()", "at character 18: expected ','"},
  };
  for (const auto& test : cases) {
    absl::Status status = Signature::Parse(test.text).status();
    CHECK(absl::IsInvalidArgument(status)) << test.text;
    CHECK(absl::StrContains(status.message(), test.expected)) << status;
  }
  for (const char* bracket : {"(", "min(", "-("}) {
    std::string deep = "(x: any[";
    for (int i = 0; i < 100000; ++i) deep += bracket;
    CHECK(absl::IsInvalidArgument(Signature::Parse(deep).status()));
  }
}

void TestRank() {
  std::string dims = "n";
  for (int i = 1; i < 254; ++i) dims += ", n";
  const auto parse = [](const std::string& dims) {
    return Signature::Parse("(x: any[n]) -> (y: any[" + dims + "])").status();
  };
  CHECK_OK(parse(dims));
  const absl::Status status = parse(dims + ", n");
  CHECK(absl::IsInvalidArgument(status) &&
        absl::StrContains(status.message(), "at most 254 dimensions"))
      << status;
}

/// The value of `text` where n = 7 and m = the most that fits in 64 bits.
absl::StatusOr<std::optional<int64_t>> Evaluate(const char* text) {
  std::vector<std::string> symbols;
  absl::StatusOr<Dimension> dimension = ParseDimension(text, &symbols);
  if (!dimension.ok()) return dimension.status();
  return dimension->Evaluate([&](int64_t i) {
    if (symbols[i] == "unknown") return int64_t{-1};
    return symbols[i] == "n" ? 7 : kMost;
  });
}

void TestEvaluate() {
  CHECK_EQ(**Evaluate("(n-3)//2+1"), 3);
  CHECK_EQ(**Evaluate("-n//2"), -4);
  CHECK_EQ(**Evaluate("-n%3"), 2);
  CHECK_EQ(**Evaluate("n%-3"), -2);
  CHECK_EQ(**Evaluate("20-n-3"), 10);
  CHECK_EQ(**Evaluate("max(n, 2, 9)*min(n, 2)"), 18);
  CHECK_EQ(**Evaluate("-m-1"), std::numeric_limits<int64_t>::min());
  CHECK_EQ(**Evaluate("(-m-1)%-1"), 0);
  CHECK(!Evaluate("2*unknown")->has_value());
  CHECK(!Evaluate("?")->has_value());
  for (const char* text : {"m+1", "-m-2", "2*m", "(-m-1)//-1", "-(-m-1)"}) {
    CHECK_EQ(Evaluate(text).status().message(), "does not fit in 64 bits") << text;
  }
  for (const char* text : {"n//0", "n%(n-7)"}) {
    CHECK_EQ(Evaluate(text).status().message(), "divides by zero") << text;
  }
}

void TestBind() {
  const Signature signature =
      *Signature::Parse("(a: any[2*n, d], b: any[n], c: any[...], e: any[d, 4]) -> (y: any[n-3])");
  SymbolValues values(signature);
  CHECK_OK(values.BindInput(0, {6, -1}));
  CHECK_EQ(values.value(1), -1);
  CHECK_OK(values.BindInput(1, {3}));
  CHECK_OK(values.BindInput(2, {1, 2, 3}));
  CHECK_OK(values.BindInput(3, {5, -1}));
  CHECK_EQ(values.ToString(), "n=3, d=5");
  CHECK_OK(values.CheckInput(0, {6, 5}));
  const TensorSpec& y = signature.outputs()[0];
  CHECK_EQ(*values.Evaluate(y.dims[0], y), 0);

  absl::Status status = values.CheckInput(0, {7, 5});
  CHECK(absl::IsInvalidArgument(status));
  CHECK(absl::StrContains(status.message(), "must be 2*n = 6 (n=3, d=5)")) << status;
}

void TestContradictions() {
  const Signature signature = *Signature::Parse("(a: any[n, 4], b: any[n]) -> (y: any[n-3])");
  struct {
    std::vector<int64_t> a;
    std::vector<int64_t> b;
    const char* expected;
  } const cases[] = {
      {{2, 4}, {3}, "n is 2 in input 'a' and 3 in input 'b'"},
      {{0, 4}, {1}, "n is 0 in input 'a' and 1 in input 'b'"},
      {{2, 5}, {2}, "its dimension 1 is 5 and must be 4"},
      {{2}, {2}, "its rank is 1 and must be 2"},
      {{2, 4}, {}, "its rank is 0 and must be 1"},
  };
  for (const auto& test : cases) {
    SymbolValues values(signature);
    absl::Status status = values.BindInput(0, test.a);
    if (status.ok()) status = values.BindInput(1, test.b);
    CHECK(absl::IsInvalidArgument(status)) << test.expected;
    CHECK(absl::StrContains(status.message(), test.expected)) << status;
  }
  SymbolValues values(signature);
  const TensorSpec& y = signature.outputs()[0];
  CHECK_EQ(*values.Evaluate(y.dims[0], y), -1);  // not known yet
  CHECK_OK(values.BindInput(1, {2}));
  absl::Status status = values.Evaluate(y.dims[0], y).status();
  CHECK(absl::StrContains(status.message(), "would be -1 (n=2)")) << status;
}

}  // namespace
}  // namespace tensorflow_tvm

int main() {
  using namespace tensorflow_tvm;  // NOLINT: a test's main
  TestParse();
  TestOptionalInputs();
  TestParseErrors();
  TestRank();
  TestEvaluate();
  TestBind();
  TestContradictions();
  return 0;
}
