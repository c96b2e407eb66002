#include "adapters/id_ranges.h"

#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <sstream>

namespace ingot::adapters {

namespace {

constexpr uint32_t kFirst = 268'435'456;  // 2^28: far above what adduser and systemd give out
constexpr uint32_t kLast = 4'294'901'760;
constexpr uint32_t kCount = 65'536;

// One line of the table: "<first> <root key> <name> <root directory>".
struct RangeEntry {
  uint32_t first = 0;
  std::string root_key;
  std::string name;
  std::string root;
};

std::vector<RangeEntry> ParseTable(const std::string& text) {
  std::vector<RangeEntry> out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    RangeEntry entry;
    if (words >> entry.first >> entry.root_key >> entry.name && std::getline(words >> std::ws, entry.root))
      out.push_back(std::move(entry));
  }
  return out;
}

std::string RenderTable(const std::vector<RangeEntry>& table) {
  std::string out;
  for (const RangeEntry& entry : table)
    out += std::to_string(entry.first) + " " + entry.root_key + " " + entry.name + " " + entry.root + "\n";
  return out;
}

struct Taken {
  uint64_t first;
  uint64_t count;
};

// "name:first:count" lines of subuid(5).
Result<std::vector<Taken>> ReadSubordinate(const fs::path& path) {
  std::vector<Taken> out;
  auto text = ReadFile(path, 16 << 20);
  if (!text) {
    if (text.error().code() == Code::kNotFound) return out;
    return std::move(text).error();
  }
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    const size_t a = line.find(':');
    const size_t b = a == std::string::npos ? a : line.find(':', a + 1);
    if (b == std::string::npos) continue;
    Taken taken{};
    std::from_chars(line.data() + a + 1, line.data() + b, taken.first);
    std::from_chars(line.data() + b + 1, line.data() + line.size(), taken.count);
    out.push_back(taken);
  }
  return out;
}

class Table {
 public:
  static Result<Table> Open(const IdRanges::Options& options) {
    TRY(MakeDirectories(options.directory, 0700));
    FileLock lock = TRY(FileLock::Take(options.directory / "lock", true));
    const fs::path file = options.directory / "ranges";
    auto text = ReadFile(file, 64 << 20);
    if (!text && text.error().code() != Code::kNotFound) return std::move(text).error();
    return Table(std::move(lock), file, text ? ParseTable(*text) : std::vector<RangeEntry>());
  }
  // No sync: the table is worth nothing after a restart of the host, and /run does not survive it.
  Result<void> Save() const { return WriteFileAtomic(file_, RenderTable(entries), 0600, Durability::kNone); }

  std::vector<RangeEntry> entries;

 private:
  Table(FileLock lock, fs::path file, std::vector<RangeEntry> read)
      : entries(std::move(read)), lock_(std::move(lock)), file_(std::move(file)) {}
  FileLock lock_;
  fs::path file_;
};

}  // namespace

Result<platform::IdRange> IdRanges::Acquire(const std::string& name) const {
  if (name.empty() || name.find_first_of(" \t\n") != std::string::npos ||
      options_.root.string().find('\n') != std::string::npos)
    return Error(Code::kInvalid, "\"" + name + "\" cannot hold an id range");
  Table table = TRY(Table::Open(options_));
  for (const RangeEntry& entry : table.entries)
    if (entry.root_key == options_.root_key && entry.name == name)
      return platform::IdRange{entry.first, kCount};
  std::erase_if(table.entries, [&](const RangeEntry& entry) {
    struct stat st {};
    return entry.root_key != options_.root_key && ::stat(entry.root.c_str(), &st) < 0 && errno == ENOENT;
  });
  std::vector<Taken> taken = TRY(ReadSubordinate(options_.subuid));
  for (const Taken& more : TRY(ReadSubordinate(options_.subgid))) taken.push_back(more);
  std::set<uint32_t> used;
  for (const RangeEntry& entry : table.entries) used.insert(entry.first);
  for (uint64_t first = kFirst; first < kLast; first += kCount) {
    if (used.contains(static_cast<uint32_t>(first))) continue;
    const bool clashes = std::any_of(taken.begin(), taken.end(), [&](const Taken& other) {
      return first < other.first + other.count && other.first < first + kCount;
    });
    if (clashes) continue;
    table.entries.push_back({static_cast<uint32_t>(first), options_.root_key, name, options_.root.string()});
    TRY(table.Save());
    return platform::IdRange{static_cast<uint32_t>(first), kCount};
  }
  return Error(Code::kNoSpace, "no range of 65,536 user ids is left between 268435456 and 4294901760; see " +
                                   (options_.directory / "ranges").string());
}

Result<void> IdRanges::Release(const std::string& name) const {
  Table table = TRY(Table::Open(options_));
  const size_t erased = std::erase_if(table.entries, [&](const RangeEntry& entry) {
    return entry.root_key == options_.root_key && entry.name == name;
  });
  return erased > 0 ? table.Save() : Result<void>();
}

Result<void> IdRanges::KeepOnly(const std::vector<std::string>& names) const {
  Table table = TRY(Table::Open(options_));
  const size_t erased = std::erase_if(table.entries, [&](const RangeEntry& entry) {
    return entry.root_key == options_.root_key &&
           std::find(names.begin(), names.end(), entry.name) == names.end();
  });
  return erased > 0 ? table.Save() : Result<void>();
}

}  // namespace ingot::adapters
