#include "build/links.h"

#include <deque>

#include "store/tree.h"

namespace ingot::build {
namespace {

constexpr int kMaxLinks = 40;  // as the kernel's own limit

void PushFront(std::deque<std::string>& parts, std::string_view path) {
  std::deque<std::string> added;
  size_t begin = 0;
  while (begin <= path.size()) {
    const size_t end = std::min(path.find('/', begin), path.size());
    if (end > begin) added.emplace_back(path.substr(begin, end - begin));
    begin = end + 1;
  }
  parts.insert(parts.begin(), added.begin(), added.end());
}

}  // namespace

std::string CleanPath(std::string_view path) {
  std::deque<std::string> parts;
  PushFront(parts, path);
  std::string clean;
  for (const std::string& part : parts) {
    if (part == ".") continue;
    if (part == "..") {
      clean = store::ParentOf(clean);
      continue;
    }
    if (!clean.empty()) clean += '/';
    clean += part;
  }
  return clean;
}

Result<std::string> ResolveLinks(std::string_view path, bool follow_last, const ReadLink& read_link) {
  std::deque<std::string> rest;
  PushFront(rest, path);
  std::string done;
  int links = 0;
  while (!rest.empty()) {
    const std::string part = std::move(rest.front());
    rest.pop_front();
    if (part == ".") continue;
    if (part == "..") {
      done = std::string(store::ParentOf(done));
      continue;
    }
    std::string next = done.empty() ? part : done + "/" + part;
    if (rest.empty() && !follow_last) return next;
    const std::optional<std::string> target = TRY(read_link(next));
    if (!target) {
      done = std::move(next);
      continue;
    }
    if (++links > kMaxLinks)
      return Error(Code::kInvalid, "too many symbolic links on the way to " + std::string(path));
    if (target->starts_with('/')) done.clear();
    PushFront(rest, *target);
  }
  return done;
}

}  // namespace ingot::build
