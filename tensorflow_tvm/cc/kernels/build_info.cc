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

// Says what this library was built for, to be read from the file before it is loaded: against
// another TensorFlow it may not even link. TensorFlow's headers do not know their own version, so
// the build gives it.

#define TENSORFLOW_TVM_STRING(text) #text
#define TENSORFLOW_TVM_STRING_OF(macro) TENSORFLOW_TVM_STRING(macro)

extern "C" __attribute__((used, visibility("default"))) const char TensorFlowTVMBuildInfo[] =
    "tensorflow_tvm-build-info {\"tensorflow\": \"" TENSORFLOW_TVM_STRING_OF(
        TENSORFLOW_TVM_TENSORFLOW_VERSION) "\"}";
