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

#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow_tvm/cc/runtime/callee.h"
#include "tensorflow_tvm/cc/runtime/dlpack_bridge.h"

namespace tensorflow_tvm {
namespace {

using tensorflow::TensorShape;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

absl::Status CheckDtypes(const std::vector<tensorflow::DataType>& dtypes, const char* role,
                         const std::string& function) {
  for (size_t i = 0; i < dtypes.size(); ++i) {
    if (absl::Status s = ToDLDataType(dtypes[i]).status(); !s.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("TVM function '", function, "': ", role, " ", i, ": ", s.message(), "."));
    }
  }
  return absl::OkStatus();
}

/// The shape that input `index`, a vector of dimensions, gives output `output`.
absl::Status ShapeOfTensor(InferenceContext* c, int index, const std::string& function, int output,
                           ShapeHandle* shape) {
  // TensorFlow's graph optimiser ends the process on a shape with more dimensions than it knows.
  const ShapeHandle vector = c->input(index);
  if (c->RankKnown(vector) && c->Rank(vector) == 1 &&
      c->Value(c->Dim(vector, 0)) > TensorShape::MaxDimensions()) {
    return absl::InvalidArgumentError(absl::StrCat("TVM function '", function, "': output ", output,
                                                   " cannot have ", c->Value(c->Dim(vector, 0)),
                                                   " dimensions; a tensor has at most ",
                                                   TensorShape::MaxDimensions(), "."));
  }
  return c->MakeShapeFromShapeTensor(index, shape);
}

absl::Status DSOOpShape(InferenceContext* c) {
  std::string json;
  TF_RETURN_IF_ERROR(c->GetAttr("callee", &json));
  absl::StatusOr<Callee> callee = Callee::Parse(json);
  if (!callee.ok()) return callee.status();
  std::vector<tensorflow::DataType> input_dtypes;
  std::vector<tensorflow::DataType> output_dtypes;
  TF_RETURN_IF_ERROR(c->GetAttr("Tin", &input_dtypes));
  TF_RETURN_IF_ERROR(c->GetAttr("Tout", &output_dtypes));
  TF_RETURN_IF_ERROR(CheckDtypes(input_dtypes, "input", callee->function));
  TF_RETURN_IF_ERROR(CheckDtypes(output_dtypes, "output", callee->function));

  int shape_count = 0;
  TF_RETURN_IF_ERROR(c->GetAttr("NS", &shape_count));
  const int first_shape = c->num_inputs() - shape_count;
  const size_t known_count = callee->output_shapes.size();
  const size_t given = shape_count > 0 ? shape_count : known_count;
  if (given != 0 && given != static_cast<size_t>(c->num_outputs())) {
    return absl::InvalidArgumentError(absl::StrCat("TVM function '", callee->function,
                                                   "': expected ", c->num_outputs(),
                                                   " output shapes, given ", given, "."));
  }
  for (int i = 0; i < c->num_outputs(); ++i) {
    ShapeHandle shape = c->UnknownShape();
    if (shape_count > 0) {
      TF_RETURN_IF_ERROR(ShapeOfTensor(c, first_shape + i, callee->function, i, &shape));
    } else if (known_count > 0) {
      TensorShape known;
      TF_RETURN_IF_ERROR(TensorShape::BuildTensorShape(callee->output_shapes[i], &known));
      TF_RETURN_IF_ERROR(c->MakeShapeFromTensorShape(known, &shape));
    } else if (!input_dtypes.empty()) {
      shape = c->input(0);
    }
    c->set_output(i, shape);
  }
  return absl::OkStatus();
}

constexpr char kDoc[] = R"doc(
Calls a function of a library compiled by TVM or another compiler that speaks tvm-ffi.

The function is called with the inputs and then the outputs, which it fills in.

inputs: What the function reads.
library: The library's bytes, or nothing. They are read only where no library with that digest is
  loaded in the process.
output_shapes: The shape of each output, or nothing.
outputs: What the function writes.
callee: What to call, as a JSON object. "digest": the library's identity, "sha256:" and the digest of
  its bytes in hexadecimal. "function": the function's name in the library. "library_name": what
  messages call the library. "memory_align": the function expects tensors at multiples of so many
  bytes, and an input that lies elsewhere is copied. "output_shapes": the shape of each output, if it
  is known. Where neither that nor the input `output_shapes` is given, every output has the first
  input's shape.
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
