#include "store/tar_header.h"

#include <algorithm>
#include <charconv>

namespace ingot::store {
namespace {

Error Broken(std::string_view why) {
  return Error(Code::kInvalid, "The archive is not a tar or is damaged: " + std::string(why) + ".");
}

std::string_view Text(std::string_view field) {
  return field.substr(0, field.find('\0'));
}

// Octal digits with spaces around them, or, with the top bit set, a big-endian two's complement number (GNU).
Result<int64_t> Number(std::string_view field, std::string_view what) {
  const auto first = static_cast<unsigned char>(field[0]);
  if ((first & 0x80) != 0) {
    const bool negative = (first & 0x40) != 0;
    uint64_t value = negative ? ~uint64_t{0} : 0;
    for (size_t i = 0; i < field.size(); ++i) {
      uint64_t byte = static_cast<unsigned char>(field[i]);
      if (i == 0) byte = negative ? byte : byte & 0x7f;
      const uint64_t lost = value >> 55;  // with the sign bit
      if (lost != (negative ? 0x1ff : 0))
        return Broken("the " + std::string(what) + " of an entry is out of range");
      value = value << 8 | byte;
    }
    return static_cast<int64_t>(value);
  }
  field = Text(field);
  while (!field.empty() && field.front() == ' ') field.remove_prefix(1);
  while (!field.empty() && field.back() == ' ') field.remove_suffix(1);
  int64_t value = 0;
  if (field.empty()) return value;
  const auto [end, error] = std::from_chars(field.begin(), field.end(), value, 8);
  if (error != std::errc() || end != field.end() || value < 0) {
    return Broken("the " + std::string(what) + " of an entry is not a number");
  }
  return value;
}

Result<int64_t> Decimal(const std::string& text, std::string_view what) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    return Broken("the PAX record \"" + std::string(what) + "\" is not a number");
  }
  return value;
}

// "-12.5": the fraction counts away from zero, the parts of a time count forward.
Result<void> Time(const std::string& text, TarHeader& header) {
  const size_t dot = std::min(text.find('.'), text.size());
  const bool negative = text.starts_with('-');
  int64_t s = dot == 0 || (negative && dot == 1) ? 0 : TRY(Decimal(text.substr(0, dot), "mtime"));
  uint32_t ns = 0;
  std::string digits = dot < text.size() ? text.substr(dot + 1) : "";
  if (!std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    return Broken("the PAX record \"mtime\" is not a number");
  }
  digits.resize(9, '0');
  for (const char c : digits) ns = ns * 10 + static_cast<uint32_t>(c - '0');
  if (negative && ns > 0) {
    if (s == INT64_MIN) return Broken("the PAX record \"mtime\" is out of range");
    s -= 1;
    ns = 1'000'000'000 - ns;
  }
  header.mtime_s = s;
  header.mtime_ns = ns;
  return {};
}

Result<void> ApplySparse(const std::map<std::string, std::string>& records, TarHeader& header) {
  const auto text = [&](const char* key) {
    const auto found = records.find(key);
    return found == records.end() ? std::string() : found->second;
  };
  const bool one = text("GNU.sparse.major") == "1" && text("GNU.sparse.minor") == "0";
  const std::string list = text("GNU.sparse.map");
  if (!one && list.empty()) {
    const auto first = records.lower_bound("GNU.sparse.");
    if (first == records.end() || !first->first.starts_with("GNU.sparse.")) return {};
    return Error(Code::kUnsupported,
                 "\"" + header.name +
                     "\" is a sparse file of an old form in the archive; make the archive again " +
                     "without tar's --sparse.");
  }
  const std::string size = text(one ? "GNU.sparse.realsize" : "GNU.sparse.size");
  const int64_t real_size = TRY(Decimal(size, "GNU.sparse.size"));
  if (real_size < 0) return Broken("the size of a sparse file is negative");
  header.sparse.emplace();
  header.sparse->real_size = static_cast<uint64_t>(real_size);
  header.sparse_in_contents = one;
  if (!one) TRY(ParseSparseList(list, *header.sparse));
  if (const std::string name = text("GNU.sparse.name"); !name.empty()) header.name = name;
  return {};
}

}  // namespace

Result<int64_t> ParseTarNumber(std::string_view field, std::string_view what) {
  return Number(field, what);
}

Result<TarHeader> ParseTarHeader(std::string_view block) {
  if (block.size() != kTarBlock) return Broken("a header is cut off");
  // The sum counts its own field as spaces. Some old programs summed signed bytes.
  uint64_t sum = 0;
  int64_t signed_sum = 0;
  for (size_t i = 0; i < kTarBlock; ++i) {
    const char c = i >= 148 && i < 156 ? ' ' : block[i];
    sum += static_cast<unsigned char>(c);
    signed_sum += static_cast<signed char>(c);
  }
  const auto expected = Number(block.substr(148, 8), "checksum");
  if (!expected || (*expected != static_cast<int64_t>(sum) && *expected != signed_sum)) {
    return Broken("the checksum of a header is wrong");
  }
  TarHeader h;
  const std::string_view name = Text(block.substr(0, 100));
  const bool posix = block.substr(257, 6) == std::string_view("ustar\0", 6);
  const std::string_view prefix = posix ? Text(block.substr(345, 155)) : std::string_view();
  h.name = prefix.empty() ? std::string(name) : std::string(prefix) + "/" + std::string(name);
  h.mode = static_cast<uint64_t>(TRY(Number(block.substr(100, 8), "mode")));
  h.uid = TRY(Number(block.substr(108, 8), "owner"));
  h.gid = TRY(Number(block.substr(116, 8), "group"));
  h.size = TRY(Number(block.substr(124, 12), "size"));
  h.mtime_s = TRY(Number(block.substr(136, 12), "time"));
  h.type = block[156];
  h.link = std::string(Text(block.substr(157, 100)));
  if (h.type == '3' || h.type == '4') {
    h.major = TRY(Number(block.substr(329, 8), "device"));
    h.minor = TRY(Number(block.substr(337, 8), "device"));
  }
  return h;
}

Result<std::map<std::string, std::string>> ParsePaxRecords(std::string_view data) {
  std::map<std::string, std::string> records;
  while (!data.empty() && data.front() != '\0') {
    size_t length = 0;
    const auto [end, error] = std::from_chars(data.begin(), data.end(), length);
    const auto digits = static_cast<size_t>(end - data.begin());
    if (error != std::errc() || digits + 1 >= length || length > data.size() || *end != ' ' ||
        data[length - 1] != '\n') {
      return Broken("a PAX record is malformed");
    }
    const std::string_view record = data.substr(digits + 1, length - digits - 2);
    const size_t equals = record.find('=');
    if (equals == std::string_view::npos || equals == 0) return Broken("a PAX record has no key");
    records.insert_or_assign(std::string(record.substr(0, equals)), std::string(record.substr(equals + 1)));
    data.remove_prefix(length);
  }
  return records;
}

Result<void> ApplyPaxRecords(const std::map<std::string, std::string>& records, TarHeader& header) {
  for (const auto& [key, value] : records) {
    if (value.empty() && !key.starts_with("SCHILY.xattr.")) continue;  // "as if the record were not there"
    if (key == "path") header.name = value;
    if (key == "linkpath") header.link = value;
    if (key == "size") header.size = TRY(Decimal(value, key));
    if (key == "uid") header.uid = TRY(Decimal(value, key));
    if (key == "gid") header.gid = TRY(Decimal(value, key));
    if (key == "mtime") TRY(Time(value, header));
    if (key == "SCHILY.devmajor") header.major = TRY(Decimal(value, key));
    if (key == "SCHILY.devminor") header.minor = TRY(Decimal(value, key));
  }
  return ApplySparse(records, header);
}

}  // namespace ingot::store
