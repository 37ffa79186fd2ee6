#include "runtime/files.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compiler/support/error.h"

namespace gradc {
namespace {

struct FileDescriptor {
  int fd;
  ~FileDescriptor() {
    if (fd >= 0) close(fd);
  }
};

bool write_all(int fd, std::string_view content) {
  while (!content.empty()) {
    ssize_t n = write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    content.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

}  // namespace

std::optional<std::string> read_file(const std::string& path, Diagnostics& diagnostics) {
  auto failed = [&](int error) {
    diagnostics.report_at(DiagnosticKind::CannotReadFile, "", path, std::strerror(error));
    return std::nullopt;
  };
  FileDescriptor file{open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) return failed(errno);
  struct stat status {};
  if (fstat(file.fd, &status) != 0) return failed(errno);
  if (S_ISDIR(status.st_mode)) return failed(EISDIR);
  std::string content;
  content.reserve(static_cast<size_t>(status.st_size));
  // Pipes and /dev/stdin have no size: read until the end whatever fstat said.
  char chunk[1 << 16];
  for (;;) {
    ssize_t n = read(file.fd, chunk, sizeof chunk);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed(errno);
    if (n == 0) return content;
    content.append(chunk, static_cast<size_t>(n));
  }
}

void write_file_atomically(const std::string& path, std::string_view content) {
  std::string temporary = fmt::format("{}.{}.tmp", path, getpid());
  auto fail = [&](const char* what) {
    int error = errno;
    unlink(temporary.c_str());
    throw EnvironmentError(fmt::format("cannot {} '{}': {}", what, path, std::strerror(error)));
  };
  FileDescriptor file{open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)};
  if (file.fd < 0) fail("create");
  if (!write_all(file.fd, content) || fsync(file.fd) != 0) fail("write");
  if (rename(temporary.c_str(), path.c_str()) != 0) fail("replace");
}

}  // namespace gradc
