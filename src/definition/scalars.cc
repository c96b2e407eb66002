#include "definition/scalars.h"

#include <algorithm>
#include <charconv>

#include "base/units.h"
#include "definition/cron.h"
#include "definition/endpoint_url.h"
#include "definition/listener.h"
#include "oci/reference.h"

namespace ingot::definition {

namespace {

// A value that is not text may also be given by a variable, which only the parser can look up.
Json OrVariable(JsonObject schema) {
  return JsonObject{
      {"anyOf", JsonArray{std::move(schema), JsonObject{{"type", "string"}, {"pattern", "\\$\\{"}}}}};
}

JsonObject TextSchema() {
  return {{"type", JsonArray{"string", "number", "boolean"}}};
}

// A shape whose text `parse` turns into a T; its error becomes the problem.
template <typename T>
Shape<T> ParsedBy(std::string what, Result<T> (*parse)(std::string_view), JsonObject schema) {
  Shape<T> shape;
  shape.what = std::move(what);
  shape.read = [what = shape.what, parse](Reader& reader, const Node& node, T& out) {
    const auto scalar = reader.Text(node, what);
    if (!scalar) return false;
    Result<T> value = parse(scalar->text);
    if (!value) return reader.Fail(node, value.error().message());
    out = *std::move(value);
    return true;
  };
  shape.schema = [schema](SchemaWriter&) -> Json { return schema; };
  return shape;
}

JsonObject PatternSchema(const std::string& pattern) {
  JsonObject schema = TextSchema();
  if (!pattern.empty()) schema["pattern"] = "(" + pattern + ")|\\$\\{";
  return schema;
}

// A number between bounds, written plainly.
template <typename T>
Shape<T> Number(T least, T most, const std::string& noun) {
  Shape<T> shape;
  shape.what = noun + " from " + std::to_string(least) + " to " + std::to_string(most);
  shape.read = [least, most, what = shape.what](Reader& reader, const Node& node, T& out) {
    const auto scalar = reader.Text(node, what);
    if (!scalar) return false;
    int64_t value = 0;
    const std::string& text = scalar->text;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (!scalar->plain) return reader.Fail(node, "expected " + what + ", not text in quotes");
    if (ec != std::errc() || end != text.data() + text.size() || value < static_cast<int64_t>(least) ||
        value > static_cast<int64_t>(most))
      return reader.Fail(node, "expected " + what + ", not " + Quoted(text));
    out = static_cast<T>(value);
    return true;
  };
  shape.schema = [least, most](SchemaWriter&) {
    return OrVariable({{"type", "integer"}, {"minimum", least}, {"maximum", most}});
  };
  return shape;
}

Result<uint32_t> ParseCpus(std::string_view text) {
  const Error bad(Code::kInvalid, "expected a number of CPUs such as 2 or 0.5, not " + Quoted(text));
  const size_t dot = text.find('.');
  const std::string_view whole = text.substr(0, dot);
  std::string fraction(dot == std::string_view::npos ? "" : text.substr(dot + 1).substr(0, 4));
  if (whole.empty() || whole.size() > 4 || fraction.size() > 3) return bad;
  if (dot != std::string_view::npos && fraction.empty()) return bad;
  fraction.resize(3, '0');
  uint32_t value = 0;
  for (const char c : std::string(whole) + fraction) {
    if (c < '0' || c > '9') return bad;
    value = value * 10 + static_cast<uint32_t>(c - '0');
  }
  if (value == 0 || value > 1024 * 1000) return bad;
  return value;
}

// "5%" or "0.5%" in basis points.
Result<int64_t> ParseShare(std::string_view text) {
  const Error bad(Code::kInvalid, "expected a share such as 1% or 0.5%, not " + Quoted(text));
  if (!text.ends_with('%') || text.size() > 8) return bad;
  std::string_view number = text.substr(0, text.size() - 1);
  const size_t dot = number.find('.');
  std::string digits(number.substr(0, dot));
  if (digits.empty()) return bad;
  std::string fraction(dot == std::string_view::npos ? "" : number.substr(dot + 1));
  if (fraction.size() > 2 || (dot != std::string_view::npos && fraction.empty())) return bad;
  fraction.resize(2, '0');
  int64_t value = 0;
  for (const char c : digits + fraction) {
    if (c < '0' || c > '9') return bad;
    value = value * 10 + (c - '0');
  }
  if (value > 10'000) return bad;
  return value;
}

Result<int> ParsePercent(std::string_view text) {
  const Result<int64_t> share = ParseShare(text);
  if (!share || *share % 100 != 0)
    return Error(Code::kInvalid, "expected a percentage from 0% to 100%, not " + Quoted(text));
  return static_cast<int>(*share / 100);
}

// A weight of two parts: a number alone is a percentage as well.
Result<int> ParseWeight(std::string_view text) {
  const bool digits = !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
  const Result<int> percent = ParsePercent(digits ? std::string(text) + "%" : std::string(text));
  if (!percent) return Error(Code::kInvalid, "expected a weight from 0 to 100 percent, not " + Quoted(text));
  return percent;
}

Result<int64_t> ParseConfidence(std::string_view text) {
  const Result<int64_t> share = ParseShare(text);
  if (!share || *share < 5'000 || *share > 9'999)
    return Error(Code::kInvalid, "expected a confidence from 50% to 99.99%, not " + Quoted(text));
  return share;
}

Result<Milliseconds> ParsePause(std::string_view text) {
  if (text == "manual") return kUntilAdvance;
  const Result<Milliseconds> duration = ParseDuration(text);
  if (!duration || *duration <= Milliseconds(0))
    return Error(Code::kInvalid, "expected a duration such as 30s, or manual, not " + Quoted(text));
  return duration;
}

template <typename V>
Result<Bound> ParseBound(std::string_view text, V value_of) {
  Bound bound;
  if (!text.starts_with('<')) return Error(Code::kInvalid, "");
  text.remove_prefix(1);
  if (text.starts_with('=')) {
    bound.or_equal = true;
    text.remove_prefix(1);
  }
  while (text.starts_with(' ')) text.remove_prefix(1);
  bound.value = TRY(value_of(text));
  return bound;
}

Result<Bound> ParseShareBound(std::string_view text) {
  Result<Bound> bound = ParseBound(text, ParseShare);
  if (!bound) return Error(Code::kInvalid, "expected a bound such as \"< 1%\", not " + Quoted(text));
  return bound;
}

Result<Bound> ParseDurationBound(std::string_view text) {
  Result<Bound> bound = ParseBound(
      text, [](std::string_view value) -> Result<int64_t> { return TRY(ParseDuration(value)).count(); });
  if (!bound) return Error(Code::kInvalid, "expected a bound such as \"< 250ms\", not " + Quoted(text));
  return bound;
}

Result<WallTime> ParseMoment(std::string_view text) {
  std::string whole(text);
  if (whole.size() == 10) whole += "T00:00:00.000Z";
  if (whole.size() == 17 && whole.back() == 'Z') whole.insert(16, ":00.000");
  if (whole.size() == 20 && whole.back() == 'Z') whole.insert(19, ".000");
  const Result<WallTime> time = ParseTime(whole);
  if (!time)
    return Error(
        Code::kInvalid,
        "expected a date such as 2026-12-24 or a time in UTC such as 2026-12-24T18:00Z, not " + Quoted(text));
  return time;
}

Result<uint64_t> ParsePositiveSize(std::string_view text) {
  const Result<uint64_t> size = ParseSize(text);
  if (!size || *size == 0)
    return Error(Code::kInvalid, "expected a size such as 512KiB, 128MiB or 1GiB, not " + Quoted(text));
  return size;
}

Result<std::string> ParseListen(std::string_view text) {
  const Result<Listener> listener = Listener::Parse(text);
  if (!listener) return Error(Code::kInvalid, listener.error().message() + ", not " + Quoted(text));
  return listener->Render();
}

Result<std::string> ParseHostUrl(std::string_view text) {
  const Result<EndpointUrl> url = EndpointUrl::Parse(text);
  if (!url || url->scheme != "https" || (url->path != "" && url->path != "/"))
    return Error(Code::kInvalid,
                 "expected the URL of a host's API such as https://host.example:7443, not " + Quoted(text));
  return std::string(text);
}

Result<std::string> ParseSchedule(std::string_view text) {
  TRY(CheckCron(text));
  return std::string(text);
}

Result<std::string> ParseImageReference(std::string_view text) {
  TRY(oci::Reference::Parse(text));
  return std::string(text);
}

Result<std::string> ParseCapability(std::string_view text) {
  if (text.starts_with("CAP_")) text.remove_prefix(4);
  if (IsCapability(text)) return std::string(text);
  return Error(Code::kInvalid,
               "expected a capability such as NET_BIND_SERVICE (capabilities(7)), not " + Quoted(text));
}

Result<std::string> ParseSignal(std::string_view text) {
  std::string name = text.starts_with("SIG") ? std::string(text) : "SIG" + std::string(text.substr(0, 16));
  if (IsSignal(name)) return name;
  return Error(Code::kInvalid, "expected a signal such as SIGTERM or SIGQUIT, not " + Quoted(text));
}

Shape<Milliseconds> DurationFrom(Result<Milliseconds> (*parse)(std::string_view)) {
  return ParsedBy<Milliseconds>(
      "a duration such as 250ms, 5s or 10m", parse,
      PatternSchema("^([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"));
}

Result<Milliseconds> ParseAnyDuration(std::string_view text) {
  const Result<Milliseconds> duration = ParseDuration(text);
  if (!duration)
    return Error(Code::kInvalid,
                 "expected a duration such as 250ms, 5s, 10m, 1h30m or 7d, not " + Quoted(text));
  return duration;
}
Result<Milliseconds> ParsePositiveDuration(std::string_view text) {
  const Result<Milliseconds> duration = ParseAnyDuration(text);
  if (duration && duration->count() == 0)
    return Error(Code::kInvalid, "expected a duration longer than " + Quoted(text));
  return duration;
}

}  // namespace

Shape<std::string> AnyText() {
  Shape<std::string> shape;
  shape.what = "text";
  shape.read = [](Reader& reader, const Node& node, std::string& out) {
    auto scalar = reader.Text(node, "text");
    if (scalar) out = std::move(scalar->text);
    return scalar.has_value();
  };
  shape.schema = [](SchemaWriter&) -> Json { return TextSchema(); };
  return shape;
}

Shape<std::string> TextThat(std::string what, std::string pattern, bool (*good)(std::string_view)) {
  Shape<std::string> shape;
  shape.what = std::move(what);
  shape.read = [what = shape.what, good](Reader& reader, const Node& node, std::string& out) {
    auto scalar = reader.Text(node, what);
    if (!scalar) return false;
    if (!good(scalar->text)) return reader.Fail(node, "expected " + what + ", not " + Quoted(scalar->text));
    out = std::move(scalar->text);
    return true;
  };
  shape.schema = [pattern](SchemaWriter&) -> Json { return PatternSchema(pattern); };
  return shape;
}

Shape<std::string> Text(std::string what) {
  return TextThat(std::move(what), "^[\\s\\S]+$", [](std::string_view text) { return !text.empty(); });
}

Shape<std::string> NameText(std::string what) {
  return TextThat(std::move(what), Names().pattern, IsName);
}

Shape<std::string> AbsolutePath() {
  return TextThat("an absolute path such as /tmp", "^/", IsAbsolutePath);
}
Shape<std::string> FilePath(std::string what) {
  return Text(std::move(what));
}
Shape<std::string> HttpPath() {
  return TextThat("a path such as /healthz", "^/[!-~]*$", IsHttpPath);
}
Shape<std::string> HostUrl() {
  return ParsedBy<std::string>("the URL of a host", ParseHostUrl, PatternSchema("^https://"));
}
Shape<std::string> Listen() {
  return ParsedBy<std::string>("a listener such as \":8000\"", ParseListen,
                               PatternSchema(":[1-9][0-9]{0,4}$"));
}
Shape<std::string> HostName() {
  return TextThat("a host name such as shop.example", "^(\\*\\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?$",
                  [](std::string_view text) {
                    if (text.starts_with("*.")) text.remove_prefix(2);
                    return IsHostName(text);
                  });
}
Shape<std::string> Cron() {
  return ParsedBy<std::string>("a schedule such as \"0 3 * * *\"", ParseSchedule,
                               PatternSchema("^\\S+( +\\S+){4}$"));
}
Shape<std::string> ImageReference() {
  return ParsedBy<std::string>("an image reference such as registry.example/redis:7.2", ParseImageReference,
                               PatternSchema("^[^\\s]+$"));
}
Shape<std::string> Capability() {
  return ParsedBy<std::string>("a capability such as NET_BIND_SERVICE", ParseCapability,
                               PatternSchema("^(CAP_)?[A-Z_]+$"));
}
Shape<std::string> SignalName() {
  return ParsedBy<std::string>("a signal such as SIGTERM", ParseSignal,
                               PatternSchema("^(SIG)?[A-Z][A-Z0-9+-]*$"));
}

Shape<int> Integer(int least, int most) {
  return Number<int>(least, most, "a whole number");
}
Shape<uint16_t> PortNumber() {
  return Number<uint16_t>(1, 65535, "a port");
}
Shape<uint32_t> Count(uint32_t least, uint32_t most) {
  return Number<uint32_t>(least, most, "a whole number");
}

Shape<bool> Truth() {
  Shape<bool> shape;
  shape.what = "true or false";
  shape.read = [](Reader& reader, const Node& node, bool& out) {
    const auto scalar = reader.Text(node, "true or false");
    if (!scalar) return false;
    if (!scalar->plain || (scalar->text != "true" && scalar->text != "false"))
      return reader.Fail(node, "expected true or false, not " + Quoted(scalar->text));
    out = scalar->text == "true";
    return true;
  };
  shape.schema = [](SchemaWriter&) { return OrVariable({{"type", "boolean"}}); };
  return shape;
}

Shape<Milliseconds> Duration(Milliseconds least) {
  return DurationFrom(least.count() == 0 ? ParseAnyDuration : ParsePositiveDuration);
}
Shape<uint64_t> Size() {
  return ParsedBy<uint64_t>("a size such as 128MiB", ParsePositiveSize,
                            PatternSchema("^[0-9]+([KMGT]iB|[kMGT]?B)?$"));
}
Shape<uint32_t> Cpus() {
  return ParsedBy<uint32_t>("a number of CPUs such as 2 or 0.5", ParseCpus,
                            PatternSchema("^[0-9]{1,4}(\\.[0-9]{1,3})?$"));
}
Shape<int> Percent() {
  return ParsedBy<int>("a percentage such as 5%", ParsePercent, PatternSchema("^[0-9]{1,3}%$"));
}
Shape<int> Weight() {
  return ParsedBy<int>("a weight such as 90", ParseWeight, PatternSchema("^[0-9]{1,3}%?$"));
}
Shape<int64_t> Share() {
  return ParsedBy<int64_t>("a share such as 1% or 0.5%", ParseShare,
                           PatternSchema("^[0-9]{1,3}(\\.[0-9]{1,2})?%$"));
}
Shape<int64_t> Confidence() {
  return ParsedBy<int64_t>("a confidence such as 99.9%", ParseConfidence,
                           PatternSchema("^[5-9][0-9](\\.[0-9]{1,2})?%$"));
}
Shape<Milliseconds> Pause() {
  return ParsedBy<Milliseconds>("a duration such as 30s, or manual", ParsePause,
                                PatternSchema("^(manual|([0-9]+[a-z]+)+)$"));
}
Shape<WallTime> Moment() {
  return ParsedBy<WallTime>(
      "a date or a time in UTC", ParseMoment,
      PatternSchema("^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\\.[0-9]{3})?)?Z)?$"));
}
Shape<std::string> CookieName() {
  return TextThat("the name of a cookie", "^[A-Za-z0-9_-]{1,64}$", IsToken);
}
Shape<std::string> HeaderName() {
  return TextThat("the name of a header", "^[A-Za-z0-9_-]{1,64}$", IsToken);
}
Shape<Bound> ShareBound() {
  return ParsedBy<Bound>("a bound such as \"< 1%\"", ParseShareBound,
                         PatternSchema("^<=? *[0-9]+(\\.[0-9]{1,2})?%$"));
}
Shape<Bound> DurationBound() {
  return ParsedBy<Bound>("a bound such as \"< 250ms\"", ParseDurationBound,
                         PatternSchema("^<=? *([0-9]+[a-z]+)+$"));
}

Shape<std::string> Word(std::vector<std::string> words) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const std::string& word : words) pairs.emplace_back(word, word);
  return Choice<std::string>(std::move(pairs));
}

Shape<std::vector<std::string>> Words() {
  Shape<std::vector<std::string>> shape = ListOf(AnyText(), 1);
  shape.what = "a list of words such as [/app/run, --flag]";
  const auto read_list = shape.read;
  shape.read = [read_list, what = shape.what](Reader& reader, const Node& node,
                                              std::vector<std::string>& out) {
    if (node.kind != Node::Kind::kSequence) return reader.Expected(node, what);
    if (!read_list(reader, node, out)) return false;
    return !out[0].empty() || reader.Fail(node, "the program's name is empty");
  };
  return shape;
}

Shape<std::vector<std::string>> CommandLine() {
  auto shape = Either<std::vector<std::string>>(
      Words(), As<std::vector<std::string>, std::string>(Text("a line for the shell"),
                                                         [](std::string line, std::vector<std::string>& out) {
                                                           out = {"/bin/sh", "-c", std::move(line)};
                                                         }));
  return shape;
}

}  // namespace ingot::definition
