#include "app/log_files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

namespace ingot::app {

namespace {

constexpr size_t kChunk = size_t{8} << 20;

bool Matches(const LogQuery& query, const platform::InstanceId& id) {
  if (id.fleet().environment() != query.environment) return false;
  if (query.only && !query.only->contains(id)) return false;
  if (!query.service.empty() && id.fleet().service() != query.service) return false;
  return query.instance.empty() || id.Short() == query.instance || id.Render() == query.instance;
}

}  // namespace

Result<bool> HasLogs(const fs::path& directory, const platform::EnvironmentId& environment,
                     const std::string& service) {
  auto names = ListDirectory(directory);
  if (!names && names.error().code() == Code::kNotFound) return false;
  if (!names) return std::move(names).error();
  return std::any_of(names->begin(), names->end(), [&](const std::string& name) {
    auto id = platform::InstanceId::ParseFileName(name.substr(0, name.find(".log")));
    return id && id->fleet().environment() == environment && id->fleet().service() == service;
  });
}

Result<std::vector<LogLine>> LogReader::Next() {
  std::vector<LogLine> out;
  auto names = ListDirectory(directory_);
  if (!names && names.error().code() == Code::kNotFound) return out;
  if (!names) return std::move(names).error();
  // Rotated files first (".2" before ".1" before the live one), so that a reader that starts now sees all in
  // order.
  std::map<std::string, std::vector<std::pair<int, std::string>>> files;
  for (const std::string& name : *names) {
    const size_t end = name.find(".log");
    if (end == std::string::npos) continue;
    const std::string suffix = name.substr(end + 4);
    if (!suffix.empty() &&
        (suffix.front() != '.' || suffix.find_first_not_of("0123456789", 1) != std::string::npos))
      continue;
    files[name.substr(0, end)].emplace_back(suffix.size() > 1 ? -std::stoi(suffix.substr(1)) : 0, name);
  }
  for (auto& [base, parts] : files) {
    auto id = platform::InstanceId::ParseFileName(base);
    if (!id || !Matches(query_, *id)) continue;
    std::sort(parts.begin(), parts.end());
    Source& source = sources_[base];
    source.instance = *id;
    // Skip the rotated files that were read before they were renamed.
    size_t first = 0;
    if (source.inode != 0) {
      for (size_t i = 0; i < parts.size(); ++i) {
        struct stat st {};
        if (::stat((directory_ / parts[i].second).c_str(), &st) == 0 && st.st_ino == source.inode) first = i;
      }
    }
    for (size_t i = first; i < parts.size(); ++i) TRY(ReadSource(directory_ / parts[i].second, source, out));
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const LogLine& a, const LogLine& b) { return a.time < b.time; });
  return out;
}

Result<void> LogReader::ReadSource(const fs::path& file, Source& source, std::vector<LogLine>& out) {
  auto fd = OpenFile(file, O_RDONLY);
  if (!fd && fd.error().code() == Code::kNotFound) return {};  // rotated away between listing and opening
  if (!fd) return std::move(fd).error();
  struct stat st {};
  if (::fstat(fd->get(), &st) < 0) return ErrnoError(errno, "read " + file.string());
  if (st.st_ino != source.inode) {
    source.inode = st.st_ino;
    source.offset = 0;
  }
  std::string bytes(std::min<size_t>(kChunk, static_cast<size_t>(std::max<int64_t>(
                                                 0, st.st_size - static_cast<int64_t>(source.offset)))),
                    '\0');
  const ssize_t got = ::pread(fd->get(), bytes.data(), bytes.size(), static_cast<off_t>(source.offset));
  if (got < 0) return ErrnoError(errno, "read " + file.string());
  bytes.resize(static_cast<size_t>(got));
  size_t begin = 0;
  for (size_t end = bytes.find('\n'); end != std::string::npos; end = bytes.find('\n', begin)) {
    const std::string_view line = std::string_view(bytes).substr(begin, end - begin);
    begin = end + 1;
    // "2024-05-01T12:00:00.123456789+00:00 stdout F text": F ends a line, P goes on in the next one.
    const size_t time_end = line.find(' ');
    const size_t stream_end = time_end == std::string_view::npos ? time_end : line.find(' ', time_end + 1);
    if (stream_end == std::string_view::npos || stream_end + 2 > line.size()) continue;
    const bool partial = line[stream_end + 1] == 'P';
    const std::string_view text =
        line.size() > stream_end + 3 ? line.substr(stream_end + 3) : std::string_view();
    source.partial += text;
    if (partial && source.partial.size() < (1 << 20)) continue;
    out.push_back({std::string(line.substr(0, time_end)), source.instance,
                   std::string(line.substr(time_end + 1, stream_end - time_end - 1)),
                   std::move(source.partial)});
    source.partial.clear();
  }
  source.offset += begin;
  return {};
}

}  // namespace ingot::app
