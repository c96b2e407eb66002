#include "adapters/root_user.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <functional>
#include <optional>

namespace ingot::adapters {

namespace {

constexpr size_t kLargestFile = 4 << 20;

std::vector<std::string_view> Fields(std::string_view line, char separator) {
  std::vector<std::string_view> out;
  while (true) {
    const size_t end = line.find(separator);
    out.push_back(line.substr(0, end));
    if (end == std::string_view::npos) return out;
    line.remove_prefix(end + 1);
  }
}

std::optional<uint32_t> UserNumber(std::string_view text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  // 4294967295 is the kernel's "no user".
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || value == UINT32_MAX)
    return std::nullopt;
  return value;
}

// Calls `each` with the fields of every line until it says true.
void EachUserLine(std::string_view file, size_t fields,
                  const std::function<bool(const std::vector<std::string_view>&)>& each) {
  for (const std::string_view line : Fields(file, '\n')) {
    const auto parts = Fields(line, ':');
    if (parts.size() >= fields && !parts[0].empty() && each(parts)) return;
  }
}

Result<std::string> ReadInRoot(int root, const std::string& path) {
  auto fd = OpenInRoot(root, path, O_RDONLY | O_NONBLOCK);
  if (!fd && fd.error().code() == Code::kNotFound) return std::string();
  if (!fd) return std::move(fd).error();
  struct stat st {};
  if (::fstat(fd->get(), &st) < 0) return ErrnoError(errno, "look at the root's " + path);
  if (!S_ISREG(st.st_mode)) return Error(Code::kInvalid, "the root's " + path + " is not a regular file");
  if (st.st_size > static_cast<off_t>(kLargestFile))
    return Error(Code::kInvalid, "the root's " + path + " is larger than 4 MiB");
  std::string out(static_cast<size_t>(st.st_size), '\0');
  size_t used = 0;
  while (used < out.size()) {
    const ssize_t n = ::read(fd->get(), out.data() + used, out.size() - used);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "read the root's " + path);
    if (n == 0) break;
    used += static_cast<size_t>(n);
  }
  out.resize(used);
  return out;
}

}  // namespace

Result<Fd> OpenInRoot(int root, const std::string& path, int flags) {
  struct open_how how {};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  for (int attempt = 0; attempt < 100; ++attempt) {
    const long fd = ::syscall(SYS_openat2, root, path.c_str(), &how, sizeof how);
    if (fd >= 0) return Fd(static_cast<int>(fd));
    // A rename elsewhere on the host during the walk.
    if (errno != EAGAIN && errno != EINTR) break;
  }
  const int failed = errno;
  if (failed == ENOTDIR) return ErrnoError(ENOENT, "open the root's " + path);
  return ErrnoError(failed, "open the root's " + path);
}

Result<RootUser> LookUpUser(std::string_view text, std::string_view passwd, std::string_view group) {
  RootUser user;
  const size_t colon = text.find(':');
  const std::string_view name = text.substr(0, colon);
  const std::string_view group_name = colon == std::string_view::npos ? "" : text.substr(colon + 1);
  const std::optional<uint32_t> number = name.empty() ? 0 : UserNumber(name);
  std::string_view login;
  EachUserLine(passwd, 6, [&](const auto& line) {
    const auto uid = UserNumber(line[2]);
    const auto gid = UserNumber(line[3]);
    if (!uid || !gid || (line[0] != name && uid != number)) return false;
    user.uid = *uid;
    user.gid = *gid;
    login = line[0];
    if (!line[5].empty()) user.home = line[5];
    return true;
  });
  if (login.empty()) {
    if (!number)
      return Error(Code::kNotFound,
                   "there is no user \"" + std::string(name.substr(0, 100)) +
                       "\" in the image's /etc/passwd; name one that is there, or use a number");
    user.uid = *number;
  }
  if (!group_name.empty()) {
    const std::optional<uint32_t> wanted = UserNumber(group_name);
    bool found = false;
    EachUserLine(group, 3, [&](const auto& line) {
      const auto gid = UserNumber(line[2]);
      if (!gid || (line[0] != group_name && gid != wanted)) return false;
      user.gid = *gid;
      return found = true;
    });
    if (!found && !wanted)
      return Error(Code::kNotFound,
                   "there is no group \"" + std::string(group_name.substr(0, 100)) +
                       "\" in the image's /etc/group; name one that is there, or use a number");
    if (!found) user.gid = *wanted;
    return user;
  }
  if (login.empty()) return user;
  EachUserLine(group, 4, [&](const auto& line) {
    const auto members = Fields(line[3], ',');
    const auto gid = UserNumber(line[2]);
    if (gid && *gid != user.gid && std::find(members.begin(), members.end(), login) != members.end())
      user.groups.push_back(*gid);
    return user.groups.size() >= 1024;
  });
  return user;
}

Result<RootUser> LookUpUser(std::string_view text, int root) {
  const std::string passwd = TRY(ReadInRoot(root, "/etc/passwd"));
  const std::string group = TRY(ReadInRoot(root, "/etc/group"));
  return LookUpUser(text, passwd, group);
}

}  // namespace ingot::adapters
