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

#include "tensorflow_tvm/cc/runtime/trust.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "absl/log/check.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace tensorflow_tvm {
namespace {

constexpr char kDigests[] = "TENSORFLOW_TVM_TRUSTED_DIGESTS";
constexpr char kRoots[] = "TENSORFLOW_TVM_LIBRARY_ROOTS";

const std::string one = std::string(63, '0') + "a";
const std::string other = std::string(63, '0') + "b";

void Set(const char* name, const std::string& value) { setenv(name, value.c_str(), 1); }

bool Allowed(const std::string& digest, const std::string& file) {
  const absl::Status status = CheckTrust(absl::StrCat("sha256:", digest), file);
  CHECK(status.ok() || absl::IsPermissionDenied(status)) << status;
  return status.ok();
}

std::string Refusal(const std::string& file = "") {
  return std::string(CheckTrust(absl::StrCat("sha256:", one), file).message());
}

void TestNothingSet() {
  CHECK(Allowed(one, ""));
  CHECK(Allowed(one, "/anywhere/a.so"));
}

void TestLists(const std::string& folder) {
  for (const std::string& list : {one, "sha256:" + one, "sha256:" + other + ",sha256:" + one,
                                  other + "\n" + one + " ", absl::AsciiStrToUpper(one)}) {
    Set(kDigests, list);
    CHECK(Allowed(one, "")) << list;
    CHECK(Allowed(one, "/anywhere/a.so")) << list;
    CHECK(!Allowed(std::string(64, '1'), "")) << list;
  }
  for (const char* nothing : {"", " ", ","}) {
    Set(kDigests, nothing);
    CHECK(!Allowed(one, "")) << nothing;
  }
  // What cannot be read allows nothing, not even what stands before.
  Set(kDigests, one + ",*");
  CHECK(!Allowed(one, ""));
  CHECK(absl::StrContains(Refusal(), "'*', which is no digest")) << Refusal();
  Set(kDigests, folder + "/no such file");
  CHECK(!Allowed(one, ""));
  CHECK(absl::StrContains(Refusal(), "neither a list of digests nor a file")) << Refusal();

  const std::string file = folder + "/trusted";
  std::ofstream(file) << "# ours\n\n" << other << "  b.so\nsha256:" << one << "\n";
  Set(kDigests, file);
  CHECK(Allowed(one, "") && Allowed(other, "") && !Allowed(std::string(64, '1'), ""));
  std::ofstream(file, std::ios::app) << "a.so " << std::string(64, '1') << "\n";
  CHECK(!Allowed(one, ""));
  std::ofstream(file) << "# none\n";
  CHECK(!Allowed(one, ""));
  Set(kDigests, folder);
  CHECK(!Allowed(one, ""));
  CHECK(absl::StrContains(Refusal(), "(it is a folder)")) << Refusal();
  std::ofstream(file) << one << "\n";
  CHECK_EQ(chdir(folder.c_str()), 0);
  Set(kDigests, "trusted");
  CHECK(!Allowed(one, ""));
  CHECK(absl::StrContains(Refusal(), "depends on the current folder")) << Refusal();
  Set(kDigests, file);
  CHECK(Allowed(one, ""));
  unlink(file.c_str());
  unsetenv(kDigests);
}

void TestRoots(const std::string& folder) {
  const std::string root = folder + "/root";
  CHECK_EQ(mkdir(root.c_str(), 0700), 0);
  CHECK_EQ(symlink(root.c_str(), (folder + "/link").c_str()), 0);
  for (const std::string& roots :
       {root, root + "/", "/nowhere:" + root, folder + "/link", root + "/../root"}) {
    Set(kRoots, roots);
    CHECK(Allowed(one, root + "/a.so")) << roots;
    CHECK(Allowed(one, root + "/deeper/a.so")) << roots;
    CHECK(!Allowed(one, folder + "/a.so")) << roots;
    CHECK(!Allowed(one, root + "2/a.so")) << roots;
    CHECK(!Allowed(one, root)) << roots;
    CHECK(!Allowed(one, "")) << roots;
  }
  Set(kRoots, "/");
  CHECK(Allowed(one, root + "/a.so") && !Allowed(one, ""));
  for (const char* nothing : {"", ":", "/nowhere"}) {
    Set(kRoots, nothing);
    CHECK(!Allowed(one, root + "/a.so")) << nothing;
  }
  Set(kRoots, "root:" + root);  // of which folder?
  CHECK(!Allowed(one, root + "/a.so"));

  // Both: a file has to be in its place and listed, other bytes have to be listed.
  Set(kRoots, root);
  Set(kDigests, one);
  CHECK(Allowed(one, root + "/a.so") && Allowed(one, ""));
  CHECK(!Allowed(other, root + "/a.so") && !Allowed(other, ""));
  CHECK(!Allowed(one, folder + "/a.so"));
  unsetenv(kRoots);
  unsetenv(kDigests);
  unlink((folder + "/link").c_str());
  rmdir(root.c_str());
}

}  // namespace
}  // namespace tensorflow_tvm

int main() {
  using namespace tensorflow_tvm;  // NOLINT: a test's main
  std::string folder = "/tmp/trust_test-XXXXXX";
  CHECK(mkdtemp(folder.data()) != nullptr);
  unsetenv(kDigests);
  unsetenv(kRoots);
  TestNothingSet();
  TestLists(folder);
  TestRoots(folder);
  rmdir(folder.c_str());
  return 0;
}
