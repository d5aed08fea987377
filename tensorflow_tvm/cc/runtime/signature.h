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

#ifndef TENSORFLOW_TVM_CC_RUNTIME_SIGNATURE_H_
#define TENSORFLOW_TVM_CC_RUNTIME_SIGNATURE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/optimization.h"
#include "absl/container/inlined_vector.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "dlpack/dlpack.h"

namespace tensorflow_tvm {

/// One dimension of a tensor in a signature: an integer, a symbol, an expression of symbols, or not
/// said.
struct Dimension {
  enum class Kind { kInteger, kSymbol, kExpression, kUnknown };

  /// One step of an expression's evaluation on a stack.
  struct Step {
    enum class Op {
      kInteger,
      kSymbol,
      kAdd,
      kSubtract,
      kMultiply,
      kDivide,
      kModulo,
      kNegate,
      kMin,
      kMax
    };
    Op op;
    int64_t value = 0;  ///< the integer, or the symbol's index
  };

  Kind kind = Kind::kUnknown;
  int64_t value = 0;        ///< the integer, or the symbol's index
  std::vector<Step> steps;  ///< of an expression
  std::string text;         ///< as it was written

  /// The value, which may be negative; nothing if a symbol in it is not known. `symbol(i)` gives
  /// the size of symbol `i`, or -1. InvalidArgument if a number on the way does not fit in 64 bits,
  /// or is divided by zero.
  absl::StatusOr<std::optional<int64_t>> Evaluate(absl::FunctionRef<int64_t(int64_t)> symbol) const;
};

/// One tensor in a signature.
struct TensorSpec {
  std::string name;
  DLDataType dtype = {};
  bool any_dtype = false;
  bool any_shape = false;
  std::vector<Dimension> dims;
  bool has_expressions = false;  ///< among `dims`
  std::string text;              ///< as it was written, "x: float32[n]"
};

/// What a function takes and gives. tensorflow_tvm/signature.py has the grammar. Attrs are read
/// over: what value a call has for them is not the signature's to say.
class Signature {
 public:
  static absl::StatusOr<Signature> Parse(absl::string_view text);

  const std::vector<TensorSpec>& inputs() const { return inputs_; }
  const std::vector<TensorSpec>& outputs() const { return outputs_; }
  const std::vector<std::string>& symbols() const { return symbols_; }

  const std::string& text() const { return text_; }

 private:
  friend class SignatureParser;

  std::string text_;
  std::vector<TensorSpec> inputs_;
  std::vector<TensorSpec> outputs_;
  std::vector<std::string> symbols_;
};

/// Parses a dimension such as "2*n+1". Its symbols are appended to `symbols`.
absl::StatusOr<Dimension> ParseDimension(absl::string_view text, std::vector<std::string>* symbols);

/// What the tensors of one call say of a signature's symbols. Sizes of -1 are not known, which is
/// so while a graph is built only. `signature` must outlive it.
class SymbolValues {
 public:
  explicit SymbolValues(const Signature& signature);

  /// Takes what input `input` says; InvalidArgument if that contradicts the signature or an earlier
  /// input. Expressions are left to CheckInput, since they may need the symbols of later inputs.
  absl::Status BindInput(int input, absl::Span<const int64_t> dims) {
    // Inline, as every call does this; what is said when something is wrong is not.
    return ABSL_PREDICT_TRUE(Bind(input, dims)) ? absl::OkStatus() : Contradiction(input, dims);
  }

  /// Checks the dimensions of input `input` that are expressions, after all inputs were bound.
  absl::Status CheckInput(int input, absl::Span<const int64_t> dims) const {
    if (!signature_.inputs()[input].has_expressions) return absl::OkStatus();
    return CheckExpressions(input, dims);
  }

  /// The size of a dimension of `tensor`, -1 if it is not known; InvalidArgument if it cannot be:
  /// negative, beyond 64 bits, or divided by zero.
  absl::StatusOr<int64_t> Evaluate(const Dimension& dimension, const TensorSpec& tensor) const;

  /// The size that symbol `symbol` stands for, -1 if it is not known.
  int64_t value(int symbol) const { return values_[symbol].size; }

  /// "n=3, d=4": what is known, for messages.
  std::string ToString() const;

 private:
  struct Value {
    int64_t size = -1;
    int input = -1;  ///< that said so
  };

  /// Whether `dims` fit; if they do, takes what they say.
  bool Bind(int input, absl::Span<const int64_t> dims) {
    const TensorSpec& tensor = signature_.inputs()[input];
    if (tensor.any_shape) return true;
    if (dims.size() != tensor.dims.size()) return false;
    for (size_t i = 0; i < dims.size(); ++i) {
      const Dimension& dimension = tensor.dims[i];
      if (dims[i] < 0) continue;
      if (dimension.kind == Dimension::Kind::kSymbol) {
        Value& value = values_[dimension.value];
        if (value.size < 0) value = {dims[i], input};
        if (value.size != dims[i]) return false;
      } else if (dimension.kind == Dimension::Kind::kInteger && dims[i] != dimension.value) {
        return false;
      }
    }
    return true;
  }

  /// Why `dims` do not fit.
  absl::Status Contradiction(int input, absl::Span<const int64_t> dims) const;

  absl::Status CheckExpressions(int input, absl::Span<const int64_t> dims) const;

  const Signature& signature_;
  absl::InlinedVector<Value, 8> values_;
};

}  // namespace tensorflow_tvm

#endif  // TENSORFLOW_TVM_CC_RUNTIME_SIGNATURE_H_
