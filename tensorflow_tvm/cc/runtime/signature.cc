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

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tensorflow_tvm/cc/runtime/dims.h"
#include "tensorflow_tvm/cc/runtime/dlpack_bridge.h"

namespace tensorflow_tvm {
namespace {

using Step = Dimension::Step;
using Op = Dimension::Step::Op;

// The same as in signature.py: they bound what a dimension may cost, and the parser's recursion.
constexpr int kMostOperators = 200;
constexpr int kDeepestNesting = 32;
constexpr size_t kMostCharacters = 1 << 16;

bool IsNameStart(char c) { return absl::ascii_isalpha(c) || c == '_'; }
bool IsNameCharacter(char c) { return absl::ascii_isalnum(c) || c == '_'; }

int64_t FloorDivide(int64_t a, int64_t b) {
  const int64_t quotient = a / b;
  return quotient * b != a && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

/// Returns false if `a op b` does not fit in 64 bits or divides by zero.
bool Apply(Op op, int64_t a, int64_t b, int64_t* result) {
  switch (op) {
    case Op::kAdd:
      return !__builtin_add_overflow(a, b, result);
    case Op::kSubtract:
      return !__builtin_sub_overflow(a, b, result);
    case Op::kMultiply:
      return !__builtin_mul_overflow(a, b, result);
    case Op::kDivide:
    case Op::kModulo:
      if (b == 0) return false;
      if (b == -1) {  // the processor traps on the least integer / -1
        *result = 0;
        return op == Op::kModulo || !__builtin_sub_overflow(int64_t{0}, a, result);
      }
      *result = op == Op::kDivide ? FloorDivide(a, b) : a - FloorDivide(a, b) * b;
      return true;
    case Op::kMin:
      *result = std::min(a, b);
      return true;
    case Op::kMax:
      *result = std::max(a, b);
      return true;
    default:
      return false;
  }
}

}  // namespace

absl::StatusOr<std::optional<int64_t>> Dimension::Evaluate(
    absl::FunctionRef<int64_t(int64_t)> symbol) const {
  if (kind == Kind::kInteger) return value;
  if (kind == Kind::kUnknown) return std::nullopt;
  absl::InlinedVector<int64_t, 16> stack;
  for (const Step& step : steps) {
    if (step.op == Op::kInteger) {
      stack.push_back(step.value);
    } else if (step.op == Op::kSymbol) {
      const int64_t size = symbol(step.value);
      if (size < 0) return std::nullopt;
      stack.push_back(size);
    } else {
      const int64_t right = stack.back();
      stack.pop_back();
      int64_t left = 0;  // a negation is a subtraction from zero
      if (step.op != Op::kNegate) {
        left = stack.back();
        stack.pop_back();
      }
      const Op op = step.op == Op::kNegate ? Op::kSubtract : step.op;
      int64_t result;
      if (!Apply(op, left, right, &result)) {
        return absl::InvalidArgumentError((op == Op::kDivide || op == Op::kModulo) && right == 0
                                              ? "divides by zero"
                                              : "does not fit in 64 bits");
      }
      stack.push_back(result);
    }
  }
  return stack.back();
}

/// A recursive descent over the text.
class SignatureParser {
 public:
  explicit SignatureParser(absl::string_view text) : text_(text) {}

  absl::StatusOr<Signature> ParseSignature() {
    signature_.text_ = std::string(text_);
    bool ok = Take("(") && ParseArguments(/*outputs=*/false) && Take("->") && Take("(") &&
              ParseArguments(/*outputs=*/true) && End() && CheckSymbols();
    if (!ok) return Error();
    return std::move(signature_);
  }

  absl::StatusOr<Dimension> ParseOneDimension(std::vector<std::string>* symbols) {
    signature_.symbols_ = *symbols;
    Dimension dimension;
    if (!ParseDimension(&dimension) || !End()) return Error();
    *symbols = signature_.symbols_;
    return dimension;
  }

 private:
  absl::Status Error() const {
    return absl::InvalidArgumentError(absl::StrCat("cannot parse signature at character ",
                                                   error_at_ + 1, ": ", error_, ":\n  ", text_,
                                                   "\n  ", std::string(error_at_, ' '), "^"));
  }

  bool Fail(std::string why, size_t at) {
    error_ = std::move(why);
    error_at_ = at;
    return false;
  }
  bool Fail(std::string why) { return Fail(std::move(why), at_); }

  void SkipSpace() {
    while (at_ < text_.size() && absl::ascii_isspace(text_[at_])) ++at_;
  }

  bool Sees(absl::string_view token) {
    SkipSpace();
    return text_.substr(at_, token.size()) == token;
  }

  /// Takes `token` if it is next.
  bool TakeIf(absl::string_view token) {
    if (!Sees(token)) return false;
    at_ += token.size();
    return true;
  }

  bool Take(absl::string_view token) {
    return TakeIf(token) || Fail(absl::StrCat("expected '", token, "'"));
  }

  bool End() {
    SkipSpace();
    return at_ == text_.size() || Fail("expected the end");
  }

  /// Takes a name if one is next, else returns "".
  std::string TakeName() {
    SkipSpace();
    const size_t start = at_;
    if (at_ < text_.size() && IsNameStart(text_[at_])) {
      while (at_ < text_.size() && IsNameCharacter(text_[at_])) ++at_;
    }
    return std::string(text_.substr(start, at_ - start));
  }

  bool ParseArguments(bool outputs) {
    for (bool first = true; !TakeIf(")"); first = false) {
      if (!first && !Take(",")) return false;
      if (!ParseArgument(outputs)) return false;
    }
    return true;
  }

  bool ParseArgument(bool output) {
    SkipSpace();
    const size_t start = at_;
    TensorSpec tensor;
    tensor.name = TakeName();
    if (tensor.name.empty()) return Fail("expected the name of an argument");
    if (std::find(names_.begin(), names_.end(), tensor.name) != names_.end()) {
      return Fail(absl::StrCat("two arguments are called '", tensor.name, "'"), start);
    }
    names_.push_back(tensor.name);
    if (!Take(":")) return false;
    SkipSpace();
    const size_t dtype_at = at_;
    const std::string dtype = TakeName();
    const bool is_scalar = IsScalar(dtype) && !Sees("[");
    if (!output && (dtype == "list" || is_scalar)) {
      if (dtype == "list" && !(Take("[") && TakeScalar() && Take("]"))) return false;
      return true;
    }
    tensor.any_dtype = dtype == "any";
    if (!tensor.any_dtype) {
      absl::StatusOr<DLDataType> parsed = DLDataTypeFromName(dtype);
      if (!parsed.ok()) return Fail(absl::StrCat("unknown dtype '", dtype, "'"), dtype_at);
      tensor.dtype = *parsed;
    }
    if (!ParseDimensions(&tensor)) return false;
    // Only callers need to know: the signature of a call that leaves the input out lacks it.
    if (Sees("?")) {
      if (output) return Fail("an output cannot be optional");
      Take("?");
    }
    tensor.text = std::string(absl::StripTrailingAsciiWhitespace(text_.substr(start, at_ - start)));
    std::vector<TensorSpec>& tensors = output ? signature_.outputs_ : signature_.inputs_;
    tensors.push_back(std::move(tensor));
    return true;
  }

  static bool IsScalar(absl::string_view name) {
    return name == "int" || name == "float" || name == "bool" || name == "str";
  }

  bool TakeScalar() { return IsScalar(TakeName()) || Fail("expected int, float, bool or str"); }

  bool ParseDimensions(TensorSpec* tensor) {
    if (!Take("[")) return false;
    if (TakeIf("...")) {
      tensor->any_shape = true;
      return Take("]");
    }
    for (bool first = true; !TakeIf("]"); first = false) {
      if (!first && !Take(",")) return false;
      if (tensor->dims.size() == kMostDimensions) {
        return Fail(absl::StrCat("a tensor has at most ", kMostDimensions, " dimensions"));
      }
      Dimension& dimension = tensor->dims.emplace_back();
      if (!ParseDimension(&dimension)) return false;
      tensor->has_expressions |= dimension.kind == Dimension::Kind::kExpression;
    }
    return true;
  }

  bool ParseDimension(Dimension* dimension) {
    SkipSpace();
    const size_t start = at_;
    if (TakeIf("?")) {
      dimension->text = "?";
      return true;
    }
    operators_ = 0;
    steps_.clear();
    if (!ParseSum()) return false;
    dimension->text =
        std::string(absl::StripTrailingAsciiWhitespace(text_.substr(start, at_ - start)));
    const bool has_symbol = std::any_of(steps_.begin(), steps_.end(),
                                        [](const Step& step) { return step.op == Op::kSymbol; });
    dimension->steps = steps_;
    dimension->kind = Dimension::Kind::kExpression;
    if (!has_symbol) {
      absl::StatusOr<std::optional<int64_t>> value =
          dimension->Evaluate([](int64_t) { return -1; });
      if (!value.ok()) return Fail(std::string(value.status().message()), start);
      if (**value < 0) return Fail("a dimension cannot be negative", start);
      dimension->kind = Dimension::Kind::kInteger;
      dimension->value = **value;
    } else if (steps_.size() == 1) {
      dimension->kind = Dimension::Kind::kSymbol;
      dimension->value = steps_[0].value;
    }
    return true;
  }

  bool CountOperator() {
    return ++operators_ <= kMostOperators || Fail("a dimension with too many operators");
  }

  bool Emit(Op op, int64_t value = 0) {
    steps_.push_back({op, value});
    return true;
  }

  bool ParseSum() {
    if (!ParseProduct()) return false;
    while (true) {
      Op op;
      if (!Sees("->") && TakeIf("-")) {
        op = Op::kSubtract;
      } else if (TakeIf("+")) {
        op = Op::kAdd;
      } else {
        return true;
      }
      if (!CountOperator() || !ParseProduct() || !Emit(op)) return false;
    }
  }

  bool ParseProduct() {
    if (!ParseFactor()) return false;
    while (true) {
      Op op;
      if (TakeIf("*")) {
        op = Op::kMultiply;
      } else if (TakeIf("//")) {
        op = Op::kDivide;
      } else if (TakeIf("%")) {
        op = Op::kModulo;
      } else {
        return true;
      }
      if (!CountOperator() || !ParseFactor() || !Emit(op)) return false;
    }
  }

  bool ParseFactor() {
    if (TakeIf("-")) return CountOperator() && ParseAtom() && Emit(Op::kNegate);
    return ParseAtom();
  }

  bool ParseAtom() {
    SkipSpace();
    const size_t start = at_;
    if (at_ < text_.size() && absl::ascii_isdigit(text_[at_])) return ParseInteger();
    if (TakeIf("(")) return Nested([this] { return ParseSum() && Take(")"); });
    const std::string name = TakeName();
    if (name.empty()) return Fail("expected a dimension");
    if (name == "min" || name == "max") {
      const Op op = name == "min" ? Op::kMin : Op::kMax;
      return CountOperator() && Take("(") && Nested([this, op] {
               if (!ParseSum() || !Sees(",")) return Fail("expected ',' and a second value");
               while (!TakeIf(")")) {
                 if (!Take(",") || !ParseSum() || !CountOperator() || !Emit(op)) return false;
               }
               return true;
             });
    }
    std::vector<std::string>& symbols = signature_.symbols_;
    const size_t index = std::find(symbols.begin(), symbols.end(), name) - symbols.begin();
    if (index == symbols.size()) {
      symbols.push_back(name);
      symbol_at_.push_back(start);
    }
    return Emit(Op::kSymbol, static_cast<int64_t>(index));
  }

  bool ParseInteger() {
    const size_t start = at_;
    int64_t value = 0;
    for (; at_ < text_.size() && absl::ascii_isdigit(text_[at_]); ++at_) {
      if (__builtin_mul_overflow(value, int64_t{10}, &value) ||
          __builtin_add_overflow(value, int64_t{text_[at_] - '0'}, &value)) {
        return Fail("an integer that does not fit in 64 bits", start);
      }
    }
    return Emit(Op::kInteger, value);
  }

  template <typename Inner>
  bool Nested(Inner inner) {
    if (++nesting_ > kDeepestNesting) return Fail("brackets nested too deeply");
    const bool ok = inner();
    --nesting_;
    return ok;
  }

  bool CheckSymbols() {
    for (size_t i = 0; i < signature_.symbols_.size(); ++i) {
      bool bound = false;
      for (const TensorSpec& input : signature_.inputs_) {
        for (const Dimension& dimension : input.dims) {
          bound = bound || (dimension.kind == Dimension::Kind::kSymbol &&
                            dimension.value == static_cast<int64_t>(i));
        }
      }
      if (!bound) {
        return Fail(
            absl::StrCat("symbol '", signature_.symbols_[i], "' is no dimension of any input"),
            symbol_at_[i]);
      }
    }
    return true;
  }

  const absl::string_view text_;
  size_t at_ = 0;
  std::string error_;
  size_t error_at_ = 0;
  int operators_ = 0;
  int nesting_ = 0;
  std::vector<Step> steps_;
  std::vector<std::string> names_;
  std::vector<size_t> symbol_at_;
  Signature signature_;
};

absl::StatusOr<Signature> Signature::Parse(absl::string_view text) {
  if (text.size() > kMostCharacters) {
    return absl::InvalidArgumentError(absl::StrCat("cannot parse signature: it has ", text.size(),
                                                   " characters; at most ", kMostCharacters,
                                                   " are allowed"));
  }
  return SignatureParser(text).ParseSignature();
}

absl::StatusOr<Dimension> ParseDimension(absl::string_view text,
                                         std::vector<std::string>* symbols) {
  return SignatureParser(text).ParseOneDimension(symbols);
}

SymbolValues::SymbolValues(const Signature& signature)
    : signature_(signature), values_(signature.symbols().size()) {}

namespace {

std::string DimensionsToString(absl::Span<const int64_t> dims) {
  return absl::StrCat("[",
                      absl::StrJoin(dims, ",",
                                    [](std::string* out, int64_t dim) {
                                      dim < 0 ? absl::StrAppend(out, "?")
                                              : absl::StrAppend(out, dim);
                                    }),
                      "]");
}

absl::Status Mismatch(const TensorSpec& tensor, absl::Span<const int64_t> dims,
                      const std::string& why) {
  return absl::InvalidArgumentError(absl::StrCat("input '", tensor.name, "' has shape ",
                                                 DimensionsToString(dims), ", expected ",
                                                 tensor.text, ": ", why));
}

}  // namespace

absl::Status SymbolValues::Contradiction(int input, absl::Span<const int64_t> dims) const {
  const TensorSpec& tensor = signature_.inputs()[input];
  if (dims.size() != tensor.dims.size()) {
    return Mismatch(tensor, dims,
                    absl::StrCat("its rank is ", dims.size(), " and must be ", tensor.dims.size()));
  }
  for (size_t i = 0; i < dims.size(); ++i) {
    const Dimension& dimension = tensor.dims[i];
    if (dims[i] < 0) continue;
    if (dimension.kind == Dimension::Kind::kInteger && dims[i] != dimension.value) {
      return Mismatch(
          tensor, dims,
          absl::StrCat("its dimension ", i, " is ", dims[i], " and must be ", dimension.value));
    }
    if (dimension.kind != Dimension::Kind::kSymbol) continue;
    const Value& value = values_[dimension.value];
    if (value.size != dims[i]) {
      return Mismatch(tensor, dims,
                      absl::StrCat(dimension.text, " is ", value.size, " in input '",
                                   signature_.inputs()[value.input].name, "' and ", dims[i],
                                   " in input '", tensor.name, "'"));
    }
  }
  return absl::InternalError("a shape fits after all");
}

absl::Status SymbolValues::CheckExpressions(int input, absl::Span<const int64_t> dims) const {
  const TensorSpec& tensor = signature_.inputs()[input];
  for (size_t i = 0; i < dims.size(); ++i) {
    const Dimension& dimension = tensor.dims[i];
    if (dims[i] < 0 || dimension.kind != Dimension::Kind::kExpression) continue;
    absl::StatusOr<int64_t> size = Evaluate(dimension, tensor);
    if (!size.ok()) return size.status();
    if (*size >= 0 && *size != dims[i]) {
      return Mismatch(tensor, dims,
                      absl::StrCat("its dimension ", i, " is ", dims[i], " and must be ",
                                   dimension.text, " = ", *size, " (", ToString(), ")"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> SymbolValues::Evaluate(const Dimension& dimension,
                                               const TensorSpec& tensor) const {
  if (dimension.kind == Dimension::Kind::kSymbol) return values_[dimension.value].size;
  absl::StatusOr<std::optional<int64_t>> size =
      dimension.Evaluate([this](int64_t i) { return values_[i].size; });
  if (size.ok() && !size->has_value()) return -1;
  if (size.ok() && **size >= 0) return **size;
  return absl::InvalidArgumentError(absl::StrCat(
      "dimension ", dimension.text, " of ", tensor.text, " ",
      size.ok() ? absl::StrCat("would be ", **size) : std::string(size.status().message()), " (",
      ToString(), ")"));
}

std::string SymbolValues::ToString() const {
  std::vector<std::string> parts;
  for (size_t i = 0; i < values_.size(); ++i) {
    if (values_[i].size < 0) continue;
    parts.push_back(absl::StrCat(signature_.symbols()[i], "=", values_[i].size));
  }
  return absl::StrJoin(parts, ", ");
}

}  // namespace tensorflow_tvm
