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

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow_tvm/cc/runtime/callee.h"
#include "tensorflow_tvm/cc/runtime/dims.h"
#include "tensorflow_tvm/cc/runtime/dlpack_bridge.h"
#include "tensorflow_tvm/cc/runtime/signature.h"

namespace tensorflow_tvm {
namespace {

using tensorflow::TensorShape;
using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

/// `status`, said of `callee`.
absl::Status Named(const Callee& callee, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat("TVM function '", callee.function, "' of library '",
                                   callee.library_name, "': ", status.message()));
}

absl::StatusOr<std::vector<DLDataType>> ToDLDataTypes(
    const std::vector<tensorflow::DataType>& dtypes, const char* role) {
  std::vector<DLDataType> result;
  for (tensorflow::DataType dtype : dtypes) {
    absl::StatusOr<DLDataType> converted = ToDLDataType(dtype);
    if (!converted.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(role, " ", result.size(), ": ", converted.status().message(), "."));
    }
    result.push_back(*converted);
  }
  return result;
}

/// Checks that TensorFlow can hold output `output` if it has sizes `dims`, of which -1 is unknown
/// if `may_be_unknown`. It ends the process on other shapes when it optimises a graph.
absl::Status CheckOutput(int output, DLDataType dtype, absl::Span<const int64_t> dims,
                         bool may_be_unknown) {
  absl::Status status = CheckDims(dims, dtype.bits, may_be_unknown);
  if (status.ok()) return status;
  return absl::InvalidArgumentError(absl::StrCat("output ", output, " cannot have shape ",
                                                 DimsToString(dims), ": ", status.message(), "."));
}

absl::Status CheckOutput(InferenceContext* c, int output, DLDataType dtype, ShapeHandle shape) {
  if (!c->RankKnown(shape)) return absl::OkStatus();
  std::vector<int64_t> dims;
  for (int i = 0; i < c->Rank(shape); ++i) dims.push_back(c->Value(c->Dim(shape, i)));
  return CheckOutput(output, dtype, dims, /*may_be_unknown=*/true);
}

/// The shape that input `index`, a vector of dimensions, gives output `output`.
absl::Status ShapeOfTensor(InferenceContext* c, int index, int output, DLDataType dtype,
                           ShapeHandle* shape) {
  // A number that is known is a size; to TensorFlow, -1 would be one that is not known.
  const tensorflow::Tensor* known = c->input_tensor(index);
  if (known != nullptr && known->dims() == 1) {
    TF_RETURN_IF_ERROR(CheckOutput(output, dtype, ReadDims(*known), /*may_be_unknown=*/false));
  }
  const ShapeHandle vector = c->input(index);
  if (c->RankKnown(vector) && c->Rank(vector) == 1 &&
      c->Value(c->Dim(vector, 0)) > kMostDimensions) {
    return absl::InvalidArgumentError(
        absl::StrCat("output ", output, " cannot have ", c->Value(c->Dim(vector, 0)),
                     " dimensions; a tensor has at most ", kMostDimensions, "."));
  }
  return c->MakeShapeFromShapeTensor(index, shape);
}

/// What the callee's signature says of the outputs' shapes, given what is known of the inputs'.
absl::Status ShapesOfSignature(InferenceContext* c, const Signature& signature,
                               std::vector<std::optional<ShapeHandle>>* outputs) {
  const int inputs = static_cast<int>(signature.inputs().size());
  SymbolValues values(signature);
  std::vector<DimensionHandle> handles;
  for (size_t i = 0; i < signature.symbols().size(); ++i) handles.push_back(c->UnknownDim());
  std::vector<std::vector<int64_t>> known(inputs);
  for (int i = 0; i < inputs; ++i) {
    const ShapeHandle shape = c->input(i);
    if (!c->RankKnown(shape)) continue;
    for (int j = 0; j < c->Rank(shape); ++j) known[i].push_back(c->Value(c->Dim(shape, j)));
    TF_RETURN_IF_ERROR(values.BindInput(i, known[i]));
    const TensorSpec& spec = signature.inputs()[i];
    for (size_t j = 0; j < spec.dims.size(); ++j) {
      if (spec.dims[j].kind != Dimension::Kind::kSymbol) continue;
      DimensionHandle* handle = &handles[spec.dims[j].value];
      if (!c->ValueKnown(*handle)) *handle = c->Dim(shape, j);
    }
  }
  for (int i = 0; i < inputs; ++i) {
    if (c->RankKnown(c->input(i))) TF_RETURN_IF_ERROR(values.CheckInput(i, known[i]));
  }
  for (const TensorSpec& spec : signature.outputs()) {
    std::optional<ShapeHandle>& output = outputs->emplace_back();
    if (spec.any_shape) continue;
    std::vector<DimensionHandle> dims;
    for (const Dimension& dimension : spec.dims) {
      absl::StatusOr<int64_t> size = values.Evaluate(dimension, spec);
      if (!size.ok()) return size.status();
      // A symbol's own handle: what is known of it later is known of both.
      dims.push_back(dimension.kind == Dimension::Kind::kSymbol ? handles[dimension.value]
                     : *size >= 0                               ? c->MakeDim(*size)
                                                                : c->UnknownDim());
    }
    output = c->MakeShape(dims);
  }
  return absl::OkStatus();
}

absl::Status DSOOpShape(InferenceContext* c) {
  std::string json;
  TF_RETURN_IF_ERROR(c->GetAttr("callee", &json));
  absl::StatusOr<std::shared_ptr<const Callee>> parsed = Callee::Get(json);
  if (!parsed.ok()) return parsed.status();
  const std::shared_ptr<const Callee> callee = *std::move(parsed);
  std::vector<tensorflow::DataType> input_dtypes;
  std::vector<tensorflow::DataType> output_dtypes;
  TF_RETURN_IF_ERROR(c->GetAttr("Tin", &input_dtypes));
  TF_RETURN_IF_ERROR(c->GetAttr("Tout", &output_dtypes));
  absl::StatusOr<std::vector<DLDataType>> inputs = ToDLDataTypes(input_dtypes, "input");
  if (!inputs.ok()) return Named(*callee, inputs.status());
  absl::StatusOr<std::vector<DLDataType>> outputs = ToDLDataTypes(output_dtypes, "output");
  if (!outputs.ok()) return Named(*callee, outputs.status());
  TF_RETURN_IF_ERROR(Named(*callee, callee->CheckTensors(*inputs, *outputs)));

  int shape_count = 0;
  TF_RETURN_IF_ERROR(c->GetAttr("NS", &shape_count));
  const int first_shape = c->num_inputs() - shape_count;
  const size_t known_count = callee->output_shapes.size();
  const size_t given = shape_count > 0 ? shape_count : known_count;
  if (given != 0 && given != static_cast<size_t>(c->num_outputs())) {
    return Named(*callee, absl::InvalidArgumentError(absl::StrCat(
                              "expected ", c->num_outputs(), " output shapes, given ", given)));
  }
  std::vector<std::optional<ShapeHandle>> from_signature;
  if (callee->signature.has_value()) {
    TF_RETURN_IF_ERROR(Named(*callee, ShapesOfSignature(c, *callee->signature, &from_signature)));
  }
  from_signature.resize(c->num_outputs());
  for (int i = 0; i < c->num_outputs(); ++i) {
    ShapeHandle shape = c->UnknownShape();
    if (shape_count > 0) {
      TF_RETURN_IF_ERROR(
          Named(*callee, ShapeOfTensor(c, first_shape + i, i, (*outputs)[i], &shape)));
    } else if (known_count > 0) {
      const std::vector<int64_t>& dims = callee->output_shapes[i];
      TF_RETURN_IF_ERROR(Named(*callee, CheckOutput(i, (*outputs)[i], dims,
                                                    /*may_be_unknown=*/false)));
      TensorShape known;
      TF_RETURN_IF_ERROR(Named(*callee, TensorShape::BuildTensorShape(dims, &known)));
      TF_RETURN_IF_ERROR(c->MakeShapeFromTensorShape(known, &shape));
    } else if (!from_signature[i].has_value() && !inputs->empty() && !callee->returns_outputs()) {
      shape = c->input(0);
    }
    if (from_signature[i].has_value()) {
      ShapeHandle both;
      if (!c->Merge(*from_signature[i], shape, &both).ok()) {
        return Named(*callee,
                     absl::InvalidArgumentError(absl::StrCat(
                         "output_shape says that output ", i, " has shape ", c->DebugString(shape),
                         ", and the signature says ", callee->signature->outputs()[i].text, " = ",
                         c->DebugString(*from_signature[i]))));
      }
      shape = both;
    }
    TF_RETURN_IF_ERROR(Named(*callee, CheckOutput(c, i, (*outputs)[i], shape)));
    c->set_output(i, shape);
  }
  return absl::OkStatus();
}

constexpr char kDoc[] = R"doc(
Calls a function of a library compiled by TVM or another compiler that speaks tvm-ffi.

The function is called with the inputs and then the outputs, which it fills in, unless `callee` says
otherwise.

inputs: What the function reads.
library: The library's bytes, or nothing. They are read only where no library with that digest is
  loaded in the process. Further ones are those of the function's gradients, and are not read.
output_shapes: The shape of each output, or nothing.
outputs: What the function writes.
callee: What to call, as a JSON object. "digest": the library's identity, "sha256:" and the digest of
  its bytes in hexadecimal. "function": the function's name in the library. "library_name": what
  messages call the library. "memory_align": the function expects tensors at multiples of so many
  bytes, and an input that lies elsewhere is copied. "output_shapes": the shape of each output, if it
  is known. "signature": what the function takes and gives, which every call is checked against.
  "arg_spec": the order of its arguments, a list of "args" (all inputs), "rets" (all outputs; without
  it the function returns them), "attrs.<name>" and "null" (an optional input that is left out).
  "attrs": values of attrs by name.
  "in_place": inputs, by number, whose memory may be the first output's too, if nobody else needs it.
  "owned_tensors": whether the function is passed tensors that it may keep, rather than views.
  "gradient": what to call for its gradient. Where nothing says what shape an output has, it has the
  first input's.
)doc";

}  // namespace

#define TENSORFLOW_TVM_REGISTER_DSO_OP(name)     \
  REGISTER_OP(name)                              \
      .Input("inputs: Tin")                      \
      .Input("library: NL * uint8")              \
      .Input("output_shapes: NS * Tshape")       \
      .Output("outputs: Tout")                   \
      .Attr("Tin: list(type) >= 0")              \
      .Attr("Tout: list(type) >= 1")             \
      .Attr("NL: int >= 0")                      \
      .Attr("NS: int >= 0")                      \
      .Attr("Tshape: {int32, int64} = DT_INT64") \
      .Attr("callee: string")                    \
      .SetShapeFn(DSOOpShape)                    \
      .Doc(kDoc)

TENSORFLOW_TVM_REGISTER_DSO_OP("TVM>DSOOp");
// For functions with side effects or randomness: TensorFlow neither merges nor drops their calls.
TENSORFLOW_TVM_REGISTER_DSO_OP("TVM>StatefulDSOOp").SetIsStateful();

}  // namespace tensorflow_tvm
