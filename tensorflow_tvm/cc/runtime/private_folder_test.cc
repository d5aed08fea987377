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
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/log/check.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace tensorflow_tvm {
namespace {

std::string temporary;  // TMPDIR

std::set<std::string> List(const std::string& folder) {
  std::set<std::string> names;
  DIR* const opened = opendir(folder.c_str());
  CHECK(opened != nullptr) << folder;
  while (const dirent* entry = readdir(opened)) {
    if (entry->d_name[0] != '.') names.insert(entry->d_name);
  }
  closedir(opened);
  return names;
}

/// Runs `body` in a child, which has never looked for what others left, and returns its status.
int InChild(const std::function<void()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    body();
    _exit(0);
  }
  int status = -1;
  CHECK_EQ(waitpid(child, &status, 0), child);
  return status;
}

std::unique_ptr<PrivateFolder> Make() {
  absl::StatusOr<std::unique_ptr<PrivateFolder>> folder = PrivateFolder::Make({"/tmp"});
  CHECK_OK(folder);
  return *std::move(folder);
}

void Write(const std::string& path) {
  const int fd = open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0400);
  CHECK_GE(fd, 0) << path;
  close(fd);
}

/// A folder with files in it, of a process that is killed.
void LeaveFolder() {
  const int status = InChild([] {
    auto folder = Make();
    Write(absl::StrCat(folder->path(), "/file"));
    CHECK_EQ(mkdir(absl::StrCat(folder->path(), "/inner").c_str(), 0700), 0);
    Write(absl::StrCat(folder->path(), "/inner/file"));
    CHECK_EQ(symlink(temporary.c_str(), absl::StrCat(folder->path(), "/link").c_str()), 0);
    raise(SIGKILL);
  });
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

void TestGoesWithItsOwner() {
  const int status = InChild([] {
    auto folder = Make();
    struct stat made;
    CHECK_EQ(stat(folder->path().c_str(), &made), 0);
    CHECK_EQ(made.st_mode & 07777, 0700);
    CHECK(absl::StartsWith(folder->path(), absl::StrCat(temporary, "/", kPrivateFolderPrefix)));
    Write(absl::StrCat(folder->path(), "/file"));
    folder->Remove();
    folder->Remove();
    CHECK(List(temporary).empty());
    Make();
    CHECK(List(temporary).empty());
  });
  CHECK_EQ(status, 0);
}

void TestLeftFoldersAreRemovedByTheNextProcess() {
  LeaveFolder();
  CHECK_EQ(List(temporary).size(), 1);
  CHECK_EQ(InChild([] { RemoveLeftFolders(); }), 0);
  CHECK(List(temporary).empty());
  LeaveFolder();
  CHECK_EQ(InChild([] { Make(); }), 0);
  CHECK(List(temporary).empty());
}

void TestFoldersInUseStay() {
  CHECK_EQ(InChild([] {
             auto folder = Make();
             CHECK_EQ(InChild([] {
                        execl("/proc/self/exe", "private_folder_test", "remove", nullptr);
                        _exit(1);
                      }),
                      0);
             CHECK_EQ(List(temporary).size(), 1);
           }),
           0);
  // A child that was forked works in it when the process that made it is gone.
  int ready[2];
  int done[2];
  CHECK_EQ(pipe(ready), 0);
  CHECK_EQ(pipe(done), 0);
  char byte = 0;
  CHECK(WIFSIGNALED(InChild([&] {
    auto folder = Make();
    if (fork() == 0) {
      close(done[1]);
      CHECK_EQ(write(ready[1], &byte, 1), 1);
      CHECK_EQ(read(done[0], &byte, 1), 0);
      _exit(0);
    }
    CHECK_EQ(read(ready[0], &byte, 1), 1);
    raise(SIGKILL);
  })));
  CHECK_EQ(InChild([] { RemoveLeftFolders(); }), 0);
  CHECK_EQ(List(temporary).size(), 1);
  close(done[1]);
  for (int i = 0; i < 1000 && !List(temporary).empty(); ++i) {  // until that child is gone
    usleep(10000);
    CHECK_EQ(InChild([] { RemoveLeftFolders(); }), 0);
  }
  CHECK(List(temporary).empty());
  for (int fd : {ready[0], ready[1], done[0]}) close(fd);
}

void TestForkedChildrenLeaveItToTheirParent() {
  CHECK_EQ(InChild([] {
             auto folder = Make();
             CHECK_EQ(InChild([&] { folder.reset(); }), 0);
             CHECK_EQ(List(temporary).size(), 1);
           }),
           0);
  CHECK_EQ(InChild([] { RemoveLeftFolders(); }), 0);
  CHECK(List(temporary).empty());
}

void TestWhatIsNotOursStays() {
  const std::string ours = absl::StrCat(temporary, "/", kPrivateFolderPrefix);
  const std::string target = absl::StrCat(temporary, "/target");
  CHECK_EQ(mkdir(target.c_str(), 0700), 0);
  Write(target + "/file");
  CHECK_EQ(symlink(target.c_str(), (ours + "linked").c_str()), 0);
  Write(ours + "afiles");                               // no folder
  CHECK_EQ(mkdir((ours + "others").c_str(), 0755), 0);  // not private
  CHECK_EQ(mkdir((ours + "toolong").c_str(), 0700), 0);
  CHECK_EQ(mkdir(absl::StrCat(temporary, "/tensorflow_tvm-abcdef").c_str(), 0700), 0);
  std::set<std::string> before = List(temporary);
  if (geteuid() == 0) {
    CHECK_EQ(mkdir((ours + "foreig").c_str(), 0700), 0);
    // A sandbox may know no other users.
    if (chown((ours + "foreig").c_str(), 12345, 12345) != 0) {
      CHECK_EQ(rmdir((ours + "foreig").c_str()), 0);
    }
    before = List(temporary);
  }
  CHECK_EQ(InChild([] { RemoveLeftFolders(); }), 0);
  CHECK(List(temporary) == before);
  CHECK_EQ(List(target).size(), 1);
  // Others could put a link where a folder was.
  LeaveFolder();
  CHECK_EQ(chmod(temporary.c_str(), 0777), 0);
  CHECK_EQ(InChild([] { RemoveLeftFolders(); }), 0);
  CHECK_EQ(List(temporary).size(), before.size() + 1);
  CHECK_EQ(chmod(temporary.c_str(), 01777), 0);
  CHECK_EQ(InChild([] { RemoveLeftFolders(); }), 0);
  CHECK(List(temporary) == before);
}

void TestManyProcessesAtOnce() {
  std::vector<pid_t> children;
  for (int i = 0; i < 16; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      for (int j = 0; j < 50; ++j) {
        // A grandchild each, since a process looks once.
        CHECK_EQ(InChild([] {
                   auto folder = Make();
                   Write(absl::StrCat(folder->path(), "/file"));
                   Make();
                   struct stat status;
                   CHECK_EQ(stat(absl::StrCat(folder->path(), "/file").c_str(), &status), 0);
                   if (getpid() % 3 == 0) raise(SIGKILL);
                 }) & ~SIGKILL,
                 0);
      }
      _exit(0);
    }
    children.push_back(child);
  }
  for (pid_t child : children) {
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
  }
}

void TestNoDescriptors() {
  CHECK_EQ(InChild([] {
             const rlimit none = {3, 3};
             CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
             const absl::Status status = PrivateFolder::Make({"/tmp"}).status();
             CHECK(absl::IsResourceExhausted(status) &&
                   absl::StrContains(status.message(), "no file descriptors are left") &&
                   absl::StrContains(status.message(), "may have 3") &&
                   absl::StrContains(status.message(), "ulimit -n"))
                 << status;
           }),
           0);
}

}  // namespace
}  // namespace tensorflow_tvm

int main(int argc, char** argv) {
  using namespace tensorflow_tvm;  // NOLINT
  if (argc > 1) {
    RemoveLeftFolders();
    return 0;
  }
  // In memory, as containers may have their /tmp on a file system whose locks are not trusted.
  temporary = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
  temporary += "/private_folder_test-XXXXXX";
  CHECK(mkdtemp(temporary.data()) != nullptr);
  CHECK_EQ(setenv("TMPDIR", temporary.c_str(), 1), 0);
  TestGoesWithItsOwner();
  TestLeftFoldersAreRemovedByTheNextProcess();
  TestFoldersInUseStay();
  TestForkedChildrenLeaveItToTheirParent();
  TestNoDescriptors();
  TestManyProcessesAtOnce();
  CHECK_EQ(InChild([] { RemoveLeftFolders(); }), 0);
  CHECK(List(temporary).empty());
  TestWhatIsNotOursStays();
  return system(absl::StrCat("rm -rf ", temporary).c_str());
}
