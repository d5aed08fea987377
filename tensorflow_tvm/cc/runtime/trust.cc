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

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "tensorflow_tvm/cc/runtime/system_error.h"

namespace tensorflow_tvm {
namespace {

constexpr char kDigests[] = "TENSORFLOW_TVM_TRUSTED_DIGESTS";
constexpr char kRoots[] = "TENSORFLOW_TVM_LIBRARY_ROOTS";
constexpr absl::string_view kPrefix = "sha256:";

/// "sha256:" and 64 small digits, if `word` is a digest, with or without the former.
std::optional<std::string> ReadDigest(absl::string_view word) {
  absl::ConsumePrefix(&word, kPrefix);
  if (word.size() != 64) return std::nullopt;
  for (const char c : word) {
    if (!absl::ascii_isxdigit(c)) return std::nullopt;
  }
  return absl::StrCat(kPrefix, absl::AsciiStrToLower(word));
}

absl::Status NoDigest(absl::string_view where, absl::string_view word) {
  return absl::PermissionDeniedError(
      absl::StrCat(kDigests, where, " has '", absl::CHexEscape(word.substr(0, 100)),
                   "', which is no digest; expected 64 hexadecimal digits for each library. Lines "
                   "as sha256sum prints them belong in a file"));
}

/// The digests in a file: the first word of each line, as in what sha256sum prints. A line that
/// begins with # is a comment.
absl::StatusOr<std::vector<std::string>> ReadDigestFile(const std::string& path) {
  const auto refuse = [&path](absl::string_view why) {
    return absl::PermissionDeniedError(
        absl::StrCat(kDigests, " is '", absl::CHexEscape(path.substr(0, 200)), "', which ", why));
  };
  const auto unreadable = [&refuse](absl::string_view why) {
    return refuse(
        absl::StrCat("is neither a list of digests nor a file that can be read (", why,
                     "); a digest has 64 hexadecimal digits"));
  };
  struct stat status;
  if (stat(path.c_str(), &status) != 0) return unreadable(std::strerror(errno));
  if (S_ISDIR(status.st_mode)) return unreadable("it is a folder");
  if (!absl::StartsWith(path, "/")) {
    return refuse("depends on the current folder; give an absolute path");
  }
  std::ifstream file(path);
  if (!file && (errno == EMFILE || errno == ENFILE)) {
    return NoDescriptorsLeft(absl::StrCat("cannot read the file that ", kDigests, " names"));
  }
  if (!file) return unreadable(std::strerror(errno));
  std::stringstream text;
  text << file.rdbuf();
  std::vector<std::string> digests;
  for (absl::string_view line : absl::StrSplit(text.str(), '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line.front() == '#') continue;
    const absl::string_view word = line.substr(0, line.find_first_of(" \t"));
    std::optional<std::string> digest = ReadDigest(word);
    if (!digest.has_value()) return NoDigest(absl::StrCat(", file ", path, ","), word);
    digests.push_back(*std::move(digest));
  }
  return digests;
}

/// The digests that `value` lists, or the file that it names.
absl::StatusOr<std::vector<std::string>> ReadDigests(absl::string_view value) {
  const std::vector<absl::string_view> words =
      absl::StrSplit(value, absl::ByAnyChar(", \t\n"), absl::SkipEmpty());
  if (!words.empty() && !ReadDigest(words[0]).has_value()) {
    return ReadDigestFile(std::string(absl::StripAsciiWhitespace(value)));
  }
  std::vector<std::string> digests;
  for (const absl::string_view word : words) {
    std::optional<std::string> digest = ReadDigest(word);
    if (!digest.has_value()) return NoDigest("", word);
    digests.push_back(*std::move(digest));
  }
  return digests;
}

/// `path` without links, "." and ".."; "" if there is no such folder.
std::string RealPath(const std::string& path) {
  char resolved[PATH_MAX];
  return realpath(path.c_str(), resolved) == nullptr ? "" : resolved;
}

absl::Status CheckRoots(absl::string_view value, absl::string_view file) {
  const std::vector<std::string> roots = absl::StrSplit(value, ':', absl::SkipEmpty());
  if (roots.empty()) {
    return absl::PermissionDeniedError(
        absl::StrCat(kRoots, " is empty, which allows nothing; name folders, or unset it"));
  }
  std::vector<std::string> names;
  for (const std::string& root : roots) {
    if (root.front() != '/') {
      return absl::PermissionDeniedError(
          absl::StrCat(kRoots, " has '", absl::CHexEscape(root),
                       "', which depends on the current folder; give absolute paths"));
    }
    const std::string real = RealPath(root);
    names.push_back(absl::StrCat(root, real.empty() ? " (which is not there)" : ""));
    if (real.empty()) continue;
    const std::string folder = real == "/" ? real : absl::StrCat(real, "/");
    if (absl::StartsWith(file, folder)) return absl::OkStatus();
  }
  return absl::PermissionDeniedError(absl::StrCat(
      kRoots, " allows files in ", absl::StrJoin(names, ", "), " only, and ",
      file.empty()
          ? absl::StrCat("these bytes come from a graph, from Python or from another machine; ",
                         "list their digest in ", kDigests, ", if you trust them")
          : absl::StrCat("this is ", file, "; move it there, if you trust it")));
}

}  // namespace

absl::Status CheckTrust(absl::string_view digest, absl::string_view file) {
  const char* digests = getenv(kDigests);
  const char* roots = getenv(kRoots);
  if (digests != nullptr) {
    absl::StatusOr<std::vector<std::string>> trusted = ReadDigests(digests);
    if (!trusted.ok()) return trusted.status();
    if (std::find(trusted->begin(), trusted->end(), digest) == trusted->end()) {
      return absl::PermissionDeniedError(absl::StrCat(
          kDigests, " does not list its digest, ", digest, "; add it, if you trust the library"));
    }
    // That says more than where it comes from; a file has to be in its place all the same.
    if (file.empty()) return absl::OkStatus();
  }
  return roots == nullptr ? absl::OkStatus() : CheckRoots(roots, file);
}

}  // namespace tensorflow_tvm
