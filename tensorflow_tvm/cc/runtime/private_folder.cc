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

#include "tensorflow_tvm/cc/runtime/private_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tensorflow_tvm/cc/runtime/system_error.h"

namespace tensorflow_tvm {

// Folders of earlier versions, which nobody holds a lock on, were called tensorflow_tvm-XXXXXX.
const char kPrivateFolderPrefix[] = "tensorflow_tvm-locked-";

namespace {

constexpr size_t kSuffixSize = 6;  // mkdtemp's XXXXXX
constexpr int kAttempts = 100;

/// A temporary folder with more entries is searched in part: others have filled it, and reading it
/// takes longer than what we may have left is worth.
constexpr int kMostEntries = 10000;

/// Why other users could put something else in the place of what is made in `folder`; "" if they
/// cannot.
std::string Danger(const char* folder) {
  struct stat status;
  if (stat(folder, &status) != 0) return std::strerror(errno);
  if (status.st_uid != 0 && status.st_uid != geteuid()) return "belongs to another user";
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0 && (status.st_mode & S_ISVTX) == 0) {
    return "others may rename what is in it, as it has no sticky bit";
  }
  return "";
}

std::vector<const char*> Parents(std::initializer_list<const char*> others) {
  std::vector<const char*> parents;
  const char* const chosen = getenv("TMPDIR");
  if (chosen != nullptr && *chosen != '\0') parents.push_back(chosen);
  for (const char* other : others) {
    if (parents.empty() || std::strcmp(parents[0], other) != 0) parents.push_back(other);
  }
  return parents;
}

int OpenFolder(const std::string& path) {
  return open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/// Whether `path` is still the name of what was opened.
bool IsAt(int fd, const std::string& path) {
  struct stat opened;
  struct stat named;
  return fstat(fd, &opened) == 0 && lstat(path.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

/// Opens a folder that was just made, and locks it; -1 if somebody took it for one that was left
/// behind, or with errno.
int OpenAndLock(const std::string& path) {
  const int fd = OpenFolder(path);
  if (fd < 0) return -1;
  // Where a file system has no locks, nobody can remove the folder either.
  const bool is_lost = flock(fd, LOCK_EX | LOCK_NB) != 0 ? errno == EWOULDBLOCK : !IsAt(fd, path);
  if (!is_lost) return fd;
  close(fd);
  errno = ENOENT;
  return -1;
}

/// Whether all who can see a folder see its locks too, which other machines may not.
bool IsLocal(int fd) {
  struct statfs status;
  if (fstatfs(fd, &status) != 0) return false;
  switch (static_cast<uint32_t>(status.f_type)) {
    case 0x01021994:  // tmpfs
    case 0x858458f6:  // ramfs
    case 0x794c7630:  // overlayfs
    case 0xef53:      // ext2, ext3, ext4
    case 0x58465342:  // xfs
    case 0x9123683e:  // btrfs
    case 0xf2f52010:  // f2fs
    case 0x2fc12fc1:  // zfs
      return true;
    default:
      return false;
  }
}

/// Removes the folder `path` if it is this user's and nobody holds its lock.
void RemoveIfLeft(const std::string& path) {
  const int fd = OpenFolder(path);
  if (fd < 0) return;
  struct stat status;
  if (fstat(fd, &status) == 0 && status.st_uid == geteuid() && (status.st_mode & 07777) == 0700 &&
      IsLocal(fd) && flock(fd, LOCK_EX | LOCK_NB) == 0 && IsAt(fd, path)) {
    std::error_code ignored;  // what cannot be removed stays
    std::filesystem::remove_all(path, ignored);
  }
  close(fd);
}

void RemoveLeftFoldersIn(const char* parent) {
  if (!Danger(parent).empty()) return;
  DIR* const folder = opendir(parent);
  if (folder == nullptr) return;
  std::vector<std::string> found;
  const size_t size = std::strlen(kPrivateFolderPrefix) + kSuffixSize;
  int seen = 0;
  while (const dirent* entry = seen++ < kMostEntries ? readdir(folder) : nullptr) {
    const absl::string_view name = entry->d_name;
    if (name.size() == size && absl::StartsWith(name, kPrivateFolderPrefix)) {
      found.push_back(absl::StrCat(parent, "/", name));
    }
  }
  closedir(folder);
  for (const std::string& path : found) RemoveIfLeft(path);
}

}  // namespace

void RemoveLeftFolders() {
  // Who comes second need not wait; a child that is forked in between could wait for ever.
  static std::atomic<bool> done{false};
  if (done.exchange(true)) return;
  for (const char* parent : Parents({"/dev/shm", "/tmp"})) RemoveLeftFoldersIn(parent);
}

absl::StatusOr<std::unique_ptr<PrivateFolder>> PrivateFolder::Make(
    std::initializer_list<const char*> parents) {
  RemoveLeftFolders();
  std::vector<std::string> tried;
  for (const char* parent : Parents(parents)) {
    std::string why = Danger(parent);
    // A process that is starting may find the folder before it is locked, and remove it.
    for (int i = 0; why.empty() && i < kAttempts; ++i) {
      std::string path = absl::StrCat(parent, "/", kPrivateFolderPrefix, "XXXXXX");
      if (mkdtemp(path.data()) == nullptr) {
        why = std::strerror(errno);
        break;
      }
      const int lock = OpenAndLock(path);
      if (lock >= 0) {
        return std::unique_ptr<PrivateFolder>(new PrivateFolder(std::move(path), lock));
      }
      if (errno == EMFILE || errno == ENFILE) {
        rmdir(path.c_str());
        return NoDescriptorsLeft("cannot open a temporary folder");
      }
      if (errno != ENOENT) why = std::strerror(errno);
      rmdir(path.c_str());
    }
    if (why.empty()) why = "it is removed as soon as it is made";
    tried.push_back(absl::StrCat(parent, " (", why, ")"));
  }
  return absl::FailedPreconditionError(
      absl::StrCat("no temporary folder can be used: ", absl::StrJoin(tried, ", "),
                   "; set TMPDIR to one of your own"));
}

PrivateFolder::PrivateFolder(std::string path, int lock)
    : path_(std::move(path)), lock_(lock), owner_(getpid()) {}

void PrivateFolder::Remove() {
  if (lock_ < 0) return;
  if (getpid() == owner_) {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  close(lock_);
  lock_ = -1;
}

}  // namespace tensorflow_tvm
